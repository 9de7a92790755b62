"""What each module of tasks for workers has at its end: the worker's app, and one to send with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from celery import Celery
from support.journal import Journal
from support.workers import CONFIGURATION, Setup

__all__ = ["sender_of", "worker_app"]

MakeApp = Callable[[Setup], Celery]


def sender_of(make_app: MakeApp) -> Callable[[Setup], AbstractContextManager[Celery]]:
    """Gives the same app to the test itself, to send tasks with."""

    @contextmanager
    def sender(setup: Setup) -> Iterator[Celery]:
        app = make_app(setup)
        yield app
        # Results say good-bye to their Redis when they go, which may be long after it has.
        app.backend.remove_pending_result = lambda result: result
        app.close()

    return sender


def worker_app(make_app: MakeApp, *reports: Callable[[Journal], None]) -> Celery | None:
    """The app where ``celery -A`` loads its module, with what it is to note; else None."""
    if CONFIGURATION not in os.environ:
        return None
    setup = Setup.of_environment()
    app = make_app(setup)
    for report in reports:
        report(Journal(setup.journal))
    return app
