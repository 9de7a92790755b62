"""Tasks whose limits are changed while workers run."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from celery import Celery
from support.app_module import sender_of, worker_app
from support.journal import Journal
from support.reporting import report
from support.workers import Setup

from celery_ratekit import (
    Concurrency,
    DynamicRateLimitTask,
    RateLimitedTask,
    StaticRateLimitTask,
    TokenBucket,
    TokenBucketTask,
)

MODULE = "end_to_end.apps.adjustable"
RATE_VARIABLE = "RATEKIT_TEST_RATE"
"""The rate of the task whose rate differs between releases."""


def make_app(setup: Setup) -> Celery:
    app = Celery("adjustable", set_as_current=False)
    setup.configure(app)
    journal = Journal(setup.journal)
    task = partial(app.task, shared=False)  # No other app of the tests gets these tasks.
    add_adjustable_tasks(task, journal)
    add_other_tasks(task, journal)
    return app


def add_adjustable_tasks(task: Any, journal: Journal) -> None:
    """Tasks whose rate is meant to be changed."""

    @task(base=DynamicRateLimitTask, bind=True, name="charge", default_rate_limit="20/s")
    def charge(self: Any, label: str, number: int = 0) -> None:
        journal.write_start(self, label, number=number, worker=self.request.hostname)

    @task(base=DynamicRateLimitTask, bind=True, name="slow", default_rate_limit="1/m")
    def slow(self: Any, label: str, number: int = 0) -> None:
        journal.write_start(self, label, number=number)

    @task(
        base=DynamicRateLimitTask,
        bind=True,
        name="released",
        default_rate_limit=os.environ.get(RATE_VARIABLE, "10/s"),
    )
    def released(self: Any, label: str) -> None:
        journal.write_start(self, label)


def add_other_tasks(task: Any, journal: Journal) -> None:
    """Tasks with limits of other kinds."""

    @task(base=StaticRateLimitTask, bind=True, name="fixed", global_rate_limit="50/s")
    def fixed(self: Any, label: str) -> None:
        journal.write_start(self, label)

    @task(
        base=RateLimitedTask,
        bind=True,
        name="serve",
        limits=[TokenBucket("plan", "20/s", key=lambda call: call.arguments["customer"])],
    )
    def serve(self: Any, customer: str, label: str, refuse_seconds: float = 0) -> None:
        journal.write_start(self, label, customer=customer)
        # One of them meets a 429.
        if refuse_seconds and journal.client.set(f"refused:{label}", "1", nx=True):
            journal.write_start(self, f"{label} refused")
            raise self.rate_limited(refuse_seconds)

    @task(base=RateLimitedTask, bind=True, name="place", limits=[Concurrency("places", 1)])
    def place(self: Any, label: str, number: int = 0) -> None:
        journal.write_start(self, label)

    @task(
        base=TokenBucketTask,
        bind=True,
        name="asks",
        rate_limit_key="body",
        tokens_per_second="1/h",
        bucket_size=3,
    )
    def asks(self: Any, label: str) -> list[bool]:
        journal.write_start(self, label)
        return [self.acquire_token() for _ in range(4)]

    @task(bind=True, name="celerys", rate_limit="1000/s")
    def celerys(self: Any, label: str) -> None:
        journal.write_start(self, label)


sender = sender_of(make_app)
app = worker_app(make_app, report)
