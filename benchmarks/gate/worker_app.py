"""What ``celery -A`` loads in the workers of the benchmark; a plain one loads nothing of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import after_task_publish

from .book import Book
from .variant import TASK_NAME, Variant, WorkerSetup

__all__ = ["app"]

OTHER_TASK_NAME = "limited"


def make_app(setup: WorkerSetup) -> Celery:
    """The app with its task, as the variant says."""
    app = Celery("benchmark", broker=setup.broker_url, set_as_current=False)
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    book = Book(Path(setup.book_path), setup.size)
    add_tasks(app, setup, book)
    count_sent(book)
    return app


def add_tasks(app: Celery, setup: WorkerSetup, book: Book) -> None:
    """The task that is sent, and a limited one beside it where it has no limit itself."""
    variant = setup.variant
    if not variant.installed:
        app.task(name=TASK_NAME)(_noting(book))
        return
    app.conf.update(ratekit_redis_url=setup.limits_url, ratekit_gate=variant.gate)
    if variant.rate_per_second is None:
        app.task(name=TASK_NAME)(_noting(book))
        app.task(name=OTHER_TASK_NAME, **_limit(variant, 1))(_noting(book))
    else:
        body = _noting_grants(book) if variant.notes_grants else _noting(book)
        options = _limit(variant, variant.rate_per_second)
        app.task(name=TASK_NAME, bind=variant.notes_grants, **options)(body)


def _limit(variant: Variant, rate_per_second: float) -> dict[str, Any]:
    from celery_ratekit import TokenBucketTask

    return {
        "base": TokenBucketTask,
        "tokens_per_second": rate_per_second,
        "bucket_size": variant.burst,
    }


def _noting(book: Book) -> Any:
    def note(number: int) -> None:
        book.note(number)

    return note


def _noting_grants(book: Book) -> Any:
    def note(self: Any, number: int) -> None:
        request = self.request
        admission = request.ratekit_admission
        decision = admission.decision
        granted_at = decision.starts_at if decision is not None else 0.0
        book.note_grant(number, granted_at, admission.lateness_seconds, request.retries)

    return note


def count_sent(book: Book) -> None:
    """Notes what workers send: nothing but tasks that are to wait."""

    def on_sent(body: Any, **_: Any) -> None:
        (number,), _kwargs, _options = body
        book.note_sent(number)

    after_task_publish.connect(on_sent, weak=False)


app = make_app(WorkerSetup.of_environment())
