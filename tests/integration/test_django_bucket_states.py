"""What ``manage.py token_buckets`` shows of buckets in Redis and in queues."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab
from django.core.management import CommandError, call_command
from django.test import override_settings
from support.django_site import configure

from celery_ratekit import RateLimitManager
from celery_ratekit.contrib.django import TokenBucket
from celery_ratekit.contrib.django.queue_bucket import QueueBucket
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.tasks.runtime import runtime_of

configure()

from celery_ratekit.contrib.django.decorators import rate_limit  # noqa: E402

pytestmark = pytest.mark.redis

YEARLY = crontab("0", "0", day_of_month="1", month_of_year="1")
BUCKETS = {
    "my_api": TokenBucket("my_api", YEARLY, 10, 20),
    "in_queue": TokenBucket("in_queue", YEARLY, 5, 20, backend="queue"),
}


@pytest.fixture
def app(redis_server: EmbeddedRedis, redis_url: str) -> Iterator[Celery]:
    """The project's app, with the buckets in its settings."""
    app = Celery("shop", broker=redis_server.celery_url, set_as_current=False)

    @app.task(name="call_my_api", shared=False)
    @rate_limit("my_api")
    def call_my_api() -> None: ...

    app.set_current()
    with override_settings(CELERY_TOKEN_BUCKETS=BUCKETS):
        yield app
    app.close()
    Celery(set_as_current=False).set_current()


def shown(*arguments: str) -> str:
    out = io.StringIO()
    call_command("token_buckets", *arguments, stdout=out)
    return out.getvalue()


def as_data() -> dict[str, Any]:
    found = map(json.loads, shown("--json").splitlines())
    return {one["name"]: one for one in found}


def test_each_bucket_is_shown_with_what_it_holds(app: Celery) -> None:
    QueueBucket(app, BUCKETS["in_queue"]).refill()
    runtime_of(app).limiter.acquire(BUCKETS["my_api"].limit)

    one, other = shown().splitlines()

    assert one.startswith("my_api: 19 of 20 tokens, 10 more at ")
    assert one.endswith("-01-01 00:00:00 UTC, in Redis")
    assert other.startswith("in_queue: 5 of 20 tokens, 5 more at ")
    assert other.endswith("UTC, in a queue")


def test_programs_get_the_same_as_json(app: Celery) -> None:
    found = as_data()["my_api"]

    assert (found["tokens"], found["amount"], found["maximum"]) == (20, 10, 20)
    assert (found["backend"], found["held_up"], found["problem"]) == ("redis", "", "")
    assert found["next_refill"].endswith("-01-01T00:00:00+00:00")


def test_pauses_freezes_and_switches_are_shown(app: Celery) -> None:
    manager = RateLimitManager(app)
    manager.pause("my_api")
    assert as_data()["my_api"]["held_up"] == "paused"
    manager.resume("my_api")
    manager.freeze("my_api", 60)
    assert shown().splitlines()[0].endswith("in Redis, frozen")
    manager.unfreeze("my_api")
    manager.disable("my_api")
    assert as_data()["my_api"]["held_up"] == "switched off"
    manager.enable("my_api")
    assert as_data()["my_api"]["held_up"] == ""


def test_a_project_without_buckets_is_told_so(app: Celery) -> None:
    with override_settings(CELERY_TOKEN_BUCKETS={}):
        assert shown() == "CELERY_TOKEN_BUCKETS has no buckets.\n"
        assert shown("--json") == ""


def test_a_server_that_is_away_is_told_for_each_bucket(private_redis: EmbeddedRedis) -> None:
    app = Celery("shop", broker=private_redis.celery_url, set_as_current=False)
    app.set_current()
    private_redis.stop()
    out = io.StringIO()
    try:
        with (
            override_settings(CELERY_TOKEN_BUCKETS=BUCKETS),
            pytest.raises(CommandError, match="not every bucket could be asked"),
        ):
            call_command("token_buckets", stdout=out)
    finally:
        app.close()
        Celery(set_as_current=False).set_current()

    one, other = out.getvalue().splitlines()
    assert one.startswith("my_api: unknown (")
    assert "Redis could not be reached" in one
    assert other.startswith("in_queue: unknown (the token bucket 'in_queue' could not count")


def test_a_bucket_that_cannot_work_stops_the_command(app: Celery) -> None:
    wrong = {"my_api": TokenBucket("my_api", YEARLY, 30, 20)}
    with (
        override_settings(CELERY_TOKEN_BUCKETS=wrong),
        pytest.raises(CommandError, match="amount of at most the maximum"),
    ):
        shown()
