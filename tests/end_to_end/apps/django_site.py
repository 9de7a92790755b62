"""A Django project's Celery app, with tasks that take tokens of its buckets."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, shared_task
from support.app_module import worker_app
from support.journal import Journal
from support.reporting import report
from support.workers import Setup

from celery_ratekit import TokenBucketTask, compose
from celery_ratekit.contrib.django.decorators import rate_limit
from celery_ratekit.tasks import ConcurrencyLimitTask

MODULE = "end_to_end.apps.django_site"
SETTINGS = "end_to_end.apps.django_settings"


def make_app(setup: Setup) -> Celery:
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS  # as a project's own module does
    app = Celery("site")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    journal = Journal(setup.journal)
    add_queued_tasks(app, journal)
    if not setup.conf.get("site_without_redis"):
        add_decorated_tasks(app, journal)
        add_tasks_that_look(app, journal)
        add_tasks_with_classes(app, journal)
    return app


def add_queued_tasks(app: Celery, journal: Journal) -> None:
    """Tasks under a bucket that needs no Redis."""

    @app.task(name="queued", bind=True)
    @rate_limit("queued")
    def queued(self: Any, label: str, number: int) -> int:
        journal.write_start(self, label, number=number)
        return number


def add_decorated_tasks(app: Celery, journal: Journal) -> None:
    """Tasks of the project's own class, which a decorator limits."""

    @shared_task(name="plain")
    @rate_limit("plain")
    def plain(label: str, number: int) -> int:
        journal.write_start(app.tasks["plain"], label, number=number)
        return number

    @app.task(name="bound", bind=True)
    @rate_limit(token_bucket="bound")
    def bound(self: Any, label: str, number: int) -> int:
        journal.write_start(self, label, number=number)
        return number

    @app.task(name="asking", bind=True, max_retries=0)
    @rate_limit(token_bucket_name="asking", countdown=1)
    def asking(self: Any, label: str, number: int) -> int:
        journal.write_start(self, label, number=number)
        return number

    @app.task(name="spending", bind=True, max_retries=2)
    @rate_limit("spending", retry_backoff=0.5, affect_task_retries=True)
    def spending(self: Any, label: str, number: int) -> int:
        journal.write_start(self, label, number=number)
        return number

    @app.task(name="stacked", bind=True, autoretry_for=(KeyError,), retry_backoff=False)
    @rate_limit("stacked")
    @rate_limit("called")
    def stacked(self: Any, label: str, number: int) -> int:
        journal.write_start(self, label, number=number)
        return number


def add_tasks_that_look(app: Celery, journal: Journal) -> None:
    """Tasks without a limit, which try what a project does with the others."""

    @app.task(name="calls")
    def calls(count: int) -> list[int]:
        """Calls the function of another task, as one calls functions."""
        return [app.tasks["plain"]("direct", number) for number in range(count)]

    @app.task(name="commits")
    def commits(label: str, count: int) -> int:
        """Sends tasks that wait for the end of a transaction; returns how many ran before."""
        # Django is not set up yet where this module is imported.
        from django.db import transaction

        with transaction.atomic():
            for number in range(count):
                app.tasks["classy"].delay_on_commit(label, number)
            return len(journal.starts(label))

    @app.task(name="bases", bind=True)
    def bases(self: Any, name: str) -> list[str]:
        return [one.__name__ for one in type(self.app.tasks[name]).__mro__]


def add_tasks_with_classes(app: Celery, journal: Journal) -> None:
    """Tasks that name a class of ours."""

    @app.task(name="classy", bind=True, base=TokenBucketTask, tokens_per_second=1_000)
    @rate_limit("classy")
    def classy(self: Any, label: str, number: int) -> int:
        journal.write_start(self, label, number=number)
        return number

    both = compose(TokenBucketTask, ConcurrencyLimitTask)

    @shared_task(name="composed", base=both, max_concurrent=5)
    def composed() -> None:
        """Is limited by its classes alone."""


app = worker_app(make_app, report)
