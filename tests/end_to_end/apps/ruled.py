"""An app that knows nothing of this package: its tasks are limited by settings alone."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from support.app_module import sender_of, worker_app
from support.journal import Journal
from support.reporting import report
from support.traffic import report_traffic
from support.workers import Setup

MODULE = "end_to_end.apps.ruled"


def make_app(setup: Setup) -> Celery:
    app = Celery("ruled", set_as_current=False)
    setup.configure(app)
    journal = Journal(setup.journal)
    task = partial(app.task, shared=False)  # No other app of the tests gets these tasks.

    @task(bind=True, name="reports.daily")
    def daily(self: Any, label: str) -> None:
        journal.write_start(self, label)

    @task(bind=True, name="mail.send")
    def send(self: Any, label: str) -> None:
        journal.write_start(self, label)

    return app


sender = sender_of(make_app)
app = worker_app(make_app, report, report_traffic)
