"""The app of the gate's tests, with tasks whose service says "too many requests".

The setting ``tests_broken_receivers`` connects receivers that raise to every signal.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

from celery import Celery
from end_to_end.apps.gate import make_app as make_app_of_gate
from support.journal import Journal
from support.workers import CONFIGURATION, Setup

from celery_ratekit import RateLimitedTask, TokenBucket, TokenBucketTask, signals

MODULE = "end_to_end.apps.metered"

BROKEN = "this receiver is broken"


def make_app(setup: Setup) -> Celery:
    app = make_app_of_gate(setup)
    add_tasks_of_a_service(app, Journal(setup.journal))
    if app.conf.get("tests_broken_receivers"):
        connect_broken_receivers()
    return app


def add_tasks_of_a_service(app: Celery, journal: Journal) -> None:
    """Tasks that their service, or their body, sends again."""

    @app.task(
        base=RateLimitedTask,
        bind=True,
        shared=False,
        name="told_too_often",
        limits=[TokenBucket("service", "1000/s:1000")],
    )
    def told_too_often(self: Any, label: str, times: int) -> None:
        """Goes through after so many answers of "too many requests"."""
        journal.write_start(self, label)
        if journal.client.incr(f"told:{self.request.id}") <= times:
            raise self.rate_limited(0.2)

    @app.task(
        base=TokenBucketTask,
        bind=True,
        shared=False,
        name="asks_for_more",
        tokens_per_second="1/h",
        bucket_size=2,
    )
    def asks_for_more(self: Any, label: str, count: int) -> None:
        journal.write_start(self, label, got=[self.acquire_token() for _ in range(count)])

    @app.task(bind=True, shared=False, name="retries", max_retries=1)
    def retries(self: Any, label: str, reason: str) -> None:
        journal.write_start(self, label)
        raise self.retry(countdown=0, exc=KeyError(reason))


def connect_broken_receivers() -> None:
    """Receivers that raise, before any other."""
    for name in signals.__all__:
        getattr(signals, name).connect(_break, weak=False)


def _break(**_: Any) -> NoReturn:
    raise RuntimeError(BROKEN)


if CONFIGURATION in os.environ:
    _setup = Setup.of_environment()
    app = make_app(_setup)  # What workers note by themselves, the gate's module has them note.
