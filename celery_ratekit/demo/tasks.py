"""The app of the demo: one task, limited, that notes when it started."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from celery import Celery
from celery.signals import after_task_publish, worker_ready

from ..rates import Rate
from ..tasks import TokenBucketTask
from .journal import Journal, Start

__all__ = ["make_app", "report_to_journal", "task_of"]

TASK_NAME = "demo.task"


def make_app(broker_url: str, rate: Rate, burst: float, *, gate: bool) -> Celery:
    """The app with its limited task, the same in the workers and in the sender."""
    app = Celery("celery_ratekit.demo", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        worker_enable_remote_control=False,
        ratekit_gate=gate,
        ratekit_overflow="hold",  # What the demo shows is how workers wait.
    )

    @app.task(
        base=TokenBucketTask,
        bind=True,
        name=TASK_NAME,
        tokens_per_second=rate,
        bucket_size=burst,
    )
    def task(self: Any, number: int) -> None:
        started_at = time.time()
        request = self.request
        granted_at = request.ratekit_admission.decision.starts_at
        _journal_of(app).write_start(Start(number, started_at, granted_at, request.retries))

    return app


def task_of(app: Celery) -> Any:
    """The limited task of the app."""
    return app.tasks[TASK_NAME]


def report_to_journal(app: Celery) -> None:
    """Lets a worker of the app note that it is ready, and which messages were sent again."""

    def on_ready(sender: Any, **_: Any) -> None:
        _journal_of(app).write_ready(sender.hostname)

    def on_sent(**_: Any) -> None:
        _journal_of(app).write_resent()

    worker_ready.connect(on_ready, weak=False)
    after_task_publish.connect(on_sent, weak=False)  # A worker sends nothing but tasks that wait.


@cache
def _journal_of(app: Celery) -> Journal:
    return Journal(task_of(app).redis)
