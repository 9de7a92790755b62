"""A shop whose limits Django's admin shows, and who may look at them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, current_app
from celery.schedules import crontab
from django.test import Client

from celery_ratekit import (
    ConcurrencyLimitTask,
    DynamicRateLimitTask,
    PerUserRateLimitTask,
    RateLimitedTask,
    ScheduledBucket,
    StaticRateLimitTask,
    TokenBucket,
    compose,
)
from celery_ratekit.manager import RateLimitManager
from celery_ratekit.tasks.runtime import runtime_of

from .backlogs import parking
from .django_site import configure, make_tables, user_with

__all__ = [
    "CHARGE",
    "LIST",
    "PER_USER",
    "add_task",
    "ann",
    "app",
    "change",
    "client_of",
    "eve",
    "history",
    "manager",
    "park",
    "shop",
    "tables",
    "text_of",
    "users",
]

configure()

LIST = "/admin/celery_ratekit/ratelimit/"
CHARGE = f"{LIST}TokenBucket.charge/"
PER_USER = f"{LIST}FixedWindow.both/"


def run(user_id: str = "") -> None:
    """What the tasks do."""


def add_task(app: Celery, name: str, base: Any, **options: Any) -> None:
    app.task(name=name, shared=False, lazy=False, base=base, **options)(run)


def shop(redis_url: str, **conf: Any) -> Celery:
    """An app with a limit of each kind."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update({"ratekit_redis_url": redis_url, "ratekit_redis_timeout": 5, **conf})
    add_task(app, "charge", DynamicRateLimitTask, default_rate_limit="100/m")
    add_task(app, "fixed", StaticRateLimitTask, global_rate_limit="9/m")
    add_task(app, "places", ConcurrencyLimitTask, max_concurrent=4)
    night = ScheduledBucket("night", crontab(minute=0, hour=0), 5)
    add_task(app, "nightly", RateLimitedTask, limits=[night])
    per_user = compose(DynamicRateLimitTask, PerUserRateLimitTask)
    add_task(app, "both", per_user, default_rate_limit="30/m", user_rate_limit="10/m")
    app.finalize()
    return app


def park(app: Celery, queue: str, name: str, count: int) -> None:
    """Lets calls wait for a limit in the backlog of a queue."""
    waits = TokenBucket(name, "100/m")
    parked = [
        parking(f"{name} {number}", waits, queue=queue, wait_seconds=3_600)
        for number in range(count)
    ]
    runtime_of(app).backlog.park(parked)


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    """The shop, whose app is Celery's current one."""
    before = current_app._get_current_object()
    app = shop(redis_url)
    app.set_current()
    yield app
    before.set_current()
    runtime_of(app).limiter.close()
    app.close()


@pytest.fixture
def manager(app: Celery) -> RateLimitManager:
    """Sees and does the same without the admin."""
    return RateLimitManager(app)


@pytest.fixture(scope="session")
def tables() -> None:
    """The database of the site."""
    make_tables()


@pytest.fixture
def users(tables: None) -> Iterator[None]:
    """Ann may change limits, Eve may see them, Joe is of the staff."""
    from django.contrib.auth.models import User

    user_with("ann", "view_ratelimit", "change_ratelimit")
    user_with("eve", "view_ratelimit")
    user_with("joe")
    yield
    User.objects.all().delete()


def client_of(name: str, **options: Any) -> Client:
    """The browser of somebody who is logged in."""
    from django.contrib.auth.models import User

    client = Client(**options)
    client.force_login(User.objects.get(username=name))
    return client


@pytest.fixture
def ann(app: Celery, users: None) -> Client:
    """May see and change."""
    return client_of("ann")


@pytest.fixture
def eve(app: Celery, users: None) -> Client:
    """May only see."""
    return client_of("eve")


def text_of(page: Any) -> str:
    """A page's markup; all that its templates name is there."""
    text: str = page.content.decode()
    assert "INVALID" not in text
    return text


def change(client: Client, action: str, address: str = CHARGE, **fields: Any) -> Any:
    """Presses a button of a limit's page, with its form filled in."""
    prefix = {"rate": "rate", "pause": "pause", "resume": "pause"}.get(
        action.removeprefix("un").removeprefix("set_"), "freeze"
    )
    data = {f"{prefix}-{name}": value for name, value in fields.items()}
    return client.post(f"{address}change/", {**data, "action": action})


def history() -> list[tuple[str, str, str, str]]:
    """What the admin's history says: who, of which limit, as it is shown, and what."""
    from django.contrib.admin.models import LogEntry

    entries = LogEntry.objects.order_by("pk")
    return [
        (one.user.get_username(), one.object_id, one.object_repr, one.change_message)
        for one in entries
    ]
