"""What ``celery -A`` loads in the workers of a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import task_failure, worker_ready

from celery_ratekit import RateLimitedTask, TokenBucket

from .book import Book
from .hooks import install
from .killing import Killer
from .plan import Step, WorkerPlan
from .sender import QUEUE, TASK
from .servers import broker_options

__all__ = ["app"]

LIMIT = "chaos"


def make_app(plan: WorkerPlan) -> Celery:
    """The app with its task, as the plan says."""
    app = Celery("chaos", broker=plan.broker_url, set_as_current=False)
    is_late = plan.acks == "late"
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_transport_options=broker_options(plan.broker_url),
        task_acks_late=is_late,
        task_reject_on_worker_lost=is_late,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        ratekit_overflow="backlog",
        ratekit_redis_url=plan.limits_url,
    )
    book = Book(Path(plan.home), plan.name)
    killer = Killer(plan, book)
    install(book, killer)
    _add_task(app, plan, book, killer)
    _report(book)
    return app


def _add_task(app: Celery, plan: WorkerPlan, book: Book, killer: Killer) -> None:
    limit = TokenBucket(LIMIT, plan.per_second, 1, key=lambda call: call.arguments["user"])

    def work(self: Any, user: str, seconds: float) -> None:
        task_id = self.request.id
        start_us = self.request.ratekit_admission.decision.start_us
        book.note("begin", task_id, f"{start_us} {user}")
        killer.passing(Step.BODY, task_id)
        time.sleep(seconds)
        book.note("end", task_id)

    app.task(base=RateLimitedTask, limits=[limit], bind=True, name=TASK)(work)


def _report(book: Book) -> None:
    def on_ready(**_: Any) -> None:
        book.note("ready")

    def on_failure(task_id: str, exception: Any, **_: Any) -> None:
        book.note("failed", task_id, repr(exception).replace("\n", " "))

    worker_ready.connect(on_ready, weak=False)
    task_failure.connect(on_failure, weak=False)


app = make_app(WorkerPlan.of_environment())
