"""Tasks for the end-to-end tests of the gate: with a rate, with places, and without a limit."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from celery import Celery
from support.app_module import sender_of, worker_app
from support.journal import Journal
from support.reporting import report
from support.spans import noted_span
from support.workers import Setup

from celery_ratekit import Concurrency, Limit, RateLimitedTask, TokenBucket

MODULE = "end_to_end.apps.gated"


class RatedByCaller(RateLimitedTask):
    """The caller names the bucket and its rate."""

    abstract = True

    def rate_limits(self, call: Any) -> list[Limit]:
        return [*super().rate_limits(call), TokenBucket(*call.arguments["bucket"])]


class PlacedByCaller(RateLimitedTask):
    """The caller names the limit, its size and how long a lease lasts, in seconds."""

    abstract = True

    def rate_limits(self, call: Any) -> list[Limit]:
        name, size, lease_seconds = call.arguments["places"]
        places = Concurrency(name, size, lease_seconds=lease_seconds)
        return [*super().rate_limits(call), places]


def granted_at(task: Any) -> float:
    """The moment that the limits have granted, by the clock of their Redis, seconds."""
    return float(task.request.ratekit_admission.decision.start_us / 1e6)


def make_app(setup: Setup) -> Celery:
    app = Celery("gated", set_as_current=False)
    setup.configure(app)
    journal = Journal(setup.journal)
    task = partial(app.task, shared=False)  # No other app of the tests gets these tasks.

    @task(bind=True, name="plain")
    def plain(self: Any, label: str) -> None:
        journal.write_start(self, label)

    @task(base=RatedByCaller, bind=True, name="early")
    def early(self: Any, label: str, bucket: Any, number: int, seconds: float = 0) -> None:
        with noted_span(journal, self, label, number=number, granted_at=granted_at(self)):
            time.sleep(seconds)

    @task(base=RatedByCaller, bind=True, name="late", acks_late=True, reject_on_worker_lost=True)
    def late(self: Any, label: str, bucket: Any, number: int) -> None:
        journal.write_start(self, label, number=number, granted_at=granted_at(self))

    @task(base=PlacedByCaller, bind=True, name="placed")
    def placed(self: Any, label: str, places: Any, number: int, seconds: float = 0) -> None:
        with noted_span(journal, self, label, number=number):
            time.sleep(seconds)

    @task(base=PlacedByCaller, bind=True, name="placed_until_told")
    def placed_until_told(self: Any, label: str, places: Any, number: int) -> None:
        with noted_span(journal, self, label, number=number):
            journal.wait_for_word(label, "end")

    return app


sender = sender_of(make_app)
app = worker_app(make_app, report)
