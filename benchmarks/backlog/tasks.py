"""The tasks of the benchmark."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery

from celery_ratekit import RateLimitedTask, TokenBucket

from .book import Book
from .dropping import PATH
from .setup import ACKNOWLEDGED, EXPIRED, FREE, LIMIT, LIMITED, WorkerSetup

__all__ = ["make_app"]


def make_app(setup: WorkerSetup) -> Celery:
    """The app with its tasks."""
    app = Celery("benchmark", broker=setup.broker_url, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        ratekit_overflow="backlog",
        ratekit_redis_url=setup.limits_url,
        task_ignore_result=True,
    )
    book = Book(Path(setup.folder))

    def limited(self: Any, label: str, number: int, user: str) -> None:
        admission = self.request.ratekit_admission
        book.note(label, number, admission.decision.starts_at, admission.lateness_seconds)

    def free(label: str, number: int) -> None:
        book.note(label, number)

    def dropped(label: str, number: int) -> None:
        raise AssertionError("a task ran that was to be dropped")

    limit = TokenBucket(LIMIT, setup.rate, 1, key=lambda call: call.arguments["user"])
    task = partial(app.task, shared=False)  # A process may have several such apps.
    task(name=LIMITED, base=RateLimitedTask, bind=True, limits=[limit])(limited)
    task(name=FREE)(free)
    task(name=ACKNOWLEDGED, Strategy=PATH)(dropped)
    task(name=EXPIRED)(dropped)
    return app
