"""An app that knows nothing of this package: its tasks are limited by settings alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from celery import Celery
from support.journal import Journal
from support.reporting import report
from support.traffic import report_traffic
from support.workers import CONFIGURATION, Setup

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


@contextmanager
def sender(setup: Setup) -> Iterator[Celery]:
    """The same app for the test itself, to send tasks with."""
    app = make_app(setup)
    yield app
    # Results say good-bye to their Redis when they go, which may be long after it has.
    app.backend.remove_pending_result = lambda result: result
    app.close()


if CONFIGURATION in os.environ:
    _setup = Setup.of_environment()
    app = make_app(_setup)
    report(Journal(_setup.journal))
    report_traffic(Journal(_setup.journal))
