"""The dispatcher of a run: the real one, which also notes when the broker has what it sent."""

from __future__ import annotations

from pathlib import Path

from celery_ratekit.throttle.dispatch.dispatching import dispatch
from celery_ratekit.throttle.dispatch.outbox import Outbox
from celery_ratekit.worker.backlog.parcel import Parcel

from ..backlog.book import Book
from .setup import SENT, Setup, number_of

__all__ = ["main"]


class NotingOutbox(Outbox):
    """Sends as always."""

    book: Book

    def send(self, queue: str, parcel: Parcel) -> None:
        super().send(queue, parcel)
        self.book.note(SENT, number_of(parcel.headers["id"]))


def main() -> None:
    """Runs until it is ended."""
    setup = Setup.of_environment()
    throttle = setup.throttle()
    with NotingOutbox(throttle.app) as outbox:
        outbox.book = Book(Path(setup.folder))
        dispatch(throttle, outbox, 1.0)


if __name__ == "__main__":
    main()
