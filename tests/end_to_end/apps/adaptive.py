"""A task that calls a service which refuses what is too much for it."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from support.app_module import sender_of, worker_app
from support.partner import Partner
from support.reporting import report
from support.workers import Setup

from celery_ratekit import AdaptiveRateLimitTask

MODULE = "end_to_end.apps.adaptive"
MOST_PER_SECOND = 150


def make_app(setup: Setup) -> Celery:
    app = Celery("adaptive", set_as_current=False)
    setup.configure(app)
    partner = Partner(setup.journal)
    task = partial(app.task, shared=False)  # No other app of the tests gets these tasks.

    @task(
        base=AdaptiveRateLimitTask,
        bind=True,
        name="call_partner",
        max_rate=f"{MOST_PER_SECOND}/s",
        min_rate="2/s",
        max_rate_limited=100,
    )
    def call_partner(self: Any) -> None:
        if not partner.takes(self.request.hostname):
            raise self.rate_limited("0.5")

    return app


sender = sender_of(make_app)
app = worker_app(make_app, report)
