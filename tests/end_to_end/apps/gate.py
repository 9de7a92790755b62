"""Tasks for the end-to-end tests of how the gate starts tasks: limited, unlimited, and mixed.

The caller names most limits, so that tests share workers, not limits.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from celery import Celery
from support.app_module import sender_of, worker_app
from support.journal import Journal
from support.reporting import report
from support.traffic import report_traffic
from support.workers import Setup

from celery_ratekit import Limit, RateLimitedTask, TokenBucket

MODULE = "end_to_end.apps.gate"


class RatedByCaller(RateLimitedTask):
    """The caller gives the bucket: its name, its rate and its burst."""

    abstract = True

    def rate_limits(self, call: Any) -> list[Limit]:
        return [*super().rate_limits(call), TokenBucket(*call.arguments["bucket"])]


def make_app(setup: Setup) -> Celery:
    app = Celery("gate", set_as_current=False)
    setup.configure(app)
    journal = Journal(setup.journal)
    task = partial(app.task, shared=False)  # No other app of the tests gets these tasks.
    add_unlimited_tasks(task, journal)
    add_limited_tasks(task, journal)
    add_tasks_that_count(task, journal)
    return app


def add_unlimited_tasks(task: Any, journal: Journal) -> None:
    """Tasks without any class of ours."""

    @task(bind=True, name="plain")
    def plain(self: Any, label: str, number: int = 0, seconds: float = 0) -> None:
        journal.write_start(self, label, number=number)
        time.sleep(seconds)

    @task(bind=True, name="plain_until_told")
    def plain_until_told(self: Any, label: str) -> None:
        journal.write_start(self, f"{label} blocked")
        journal.wait_for_word(label, "go on")

    @task(bind=True, name="reveal")
    def reveal(self: Any) -> Any:
        """All that an unlimited task can see of its message's headers."""
        return self.request.headers


def add_limited_tasks(task: Any, journal: Journal) -> None:
    """Tasks that note their starts."""

    @task(base=RatedByCaller, bind=True, name="note")
    def note(self: Any, label: str, bucket: Any, number: int = 0, seconds: float = 0) -> None:
        journal.write_start(self, label, number=number, pid=os.getpid())
        time.sleep(seconds)

    @task(base=RatedByCaller, bind=True, name="late_ack", acks_late=True)
    def late_ack(self: Any, label: str, bucket: Any, number: int) -> None:
        journal.write_start(self, label, number=number)

    @task(base=RatedByCaller, bind=True, name="add")
    def add(self: Any, one: Any, other: int, label: str, bucket: Any) -> int:
        journal.write_start(self, label)
        return int(one if isinstance(one, int) else sum(one)) + other

    @task(base=RatedByCaller, bind=True, name="fails", max_retries=2)
    def fails(self: Any, label: str, bucket: Any) -> None:
        journal.write_start(self, label)
        raise self.retry(countdown=0, exc=KeyError("no luck"))


def add_tasks_that_count(task: Any, journal: Journal) -> None:
    """Tasks whose limits only count, or cannot be worked out."""

    @task(
        base=RateLimitedTask,
        bind=True,
        name="measured",
        mode="shadow",
        limits=[TokenBucket("measured", "1/h", key=lambda call: call.arguments["label"])],
    )
    def measured(self: Any, label: str) -> None:
        journal.write_start(self, label)

    @task(
        base=RateLimitedTask,
        bind=True,
        name="badly_keyed",
        limits=[TokenBucket("badly keyed", "100/s", key=lambda call: call.kwargs["missing"])],
    )
    def badly_keyed(self: Any, label: str) -> None:
        journal.write_start(self, label)


sender = sender_of(make_app)
app = worker_app(make_app, report, report_traffic)
