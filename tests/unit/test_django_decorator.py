"""The decorator as it is written, without a worker."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab
from django.test import override_settings
from support.django_site import configure

from celery_ratekit import ScheduledBucket, TokenBucketTask
from celery_ratekit.contrib.django import TokenBucket
from celery_ratekit.errors import BadOptionError, UnknownTokenBucketError
from celery_ratekit.settings import settings_of
from celery_ratekit.tasks.call import Call
from celery_ratekit.tasks.limit_book import LimitBook

configure()

from celery_ratekit.contrib.django.decorators import rate_limit  # noqa: E402

HOURLY = crontab(minute=0)
BUCKETS = {
    "my_api": TokenBucket("my_api", HOURLY, 10, 20),
    "other": TokenBucket("other", HOURLY, 1, 1),
    "in_queue": TokenBucket("in_queue", HOURLY, 10, 20, backend="queue"),
}
MY_API = ScheduledBucket("my_api", HOURLY, 10, 20)


@pytest.fixture(autouse=True)
def buckets() -> Iterator[None]:
    with override_settings(CELERY_TOKEN_BUCKETS=BUCKETS):
        yield


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    app.conf.task_store_eager_result = False
    yield app
    app.close()


def limits_of(app: Celery, task: Any) -> tuple[Any, ...]:
    plan = LimitBook(settings_of(app)).plan(task)
    assert plan.is_limited is bool(plan.limits(Call(task.name, task.run)).enforced)
    return plan.limits(Call(task.name, task.run)).enforced


def test_the_gate_asks_the_bucket_for_each_call_of_the_task(app: Celery) -> None:
    @app.task(shared=False)
    @rate_limit(token_bucket="my_api")
    def call(*args: Any, **kwargs: Any) -> None: ...

    assert limits_of(app, call) == (MY_API,)


def test_bound_tasks_and_tasks_with_a_class_of_ours_are_limited_as_well(app: Celery) -> None:
    @app.task(shared=False, bind=True, base=TokenBucketTask)
    @rate_limit("my_api")
    def call(self: Any) -> str:
        return str(self.name)

    assert MY_API in limits_of(app, call)
    assert len(limits_of(app, call)) == 2
    assert call() == call.name


def test_what_wraps_the_function_once_more_keeps_its_limit(app: Celery) -> None:
    @app.task(shared=False, autoretry_for=(KeyError,))
    @rate_limit("my_api")
    def call() -> None: ...

    assert limits_of(app, call) == (MY_API,)


def test_two_decorators_ask_two_buckets(app: Celery) -> None:
    @app.task(shared=False)
    @rate_limit("my_api")
    @rate_limit("other")
    def call() -> None: ...

    assert [limit.name for limit in limits_of(app, call)] == ["my_api", "other"]


@pytest.mark.parametrize(
    "options",
    [
        {"token_bucket": "my_api", "retry_backoff": 300},
        {"token_bucket_name": "my_api", "countdown": 300},
        {"token_bucket": "my_api", "affect_task_retries": True},
        {"token_bucket": "in_queue"},
    ],
)
def test_where_the_task_itself_asks_the_gate_does_not(app: Celery, options: Any) -> None:
    @app.task(shared=False)
    @rate_limit(**options)
    def call() -> None: ...

    assert limits_of(app, call) == ()


def test_a_bucket_in_redis_is_declared_whoever_asks_it(app: Celery) -> None:
    @app.task(shared=False)
    @rate_limit("my_api", 300)
    def call() -> None: ...

    @app.task(shared=False)
    @rate_limit("in_queue")
    def elsewhere() -> None: ...

    assert LimitBook(settings_of(app)).declared(app) == [MY_API]


def test_calls_in_eager_mode_and_direct_calls_are_not_limited(app: Celery) -> None:
    @app.task(shared=False)
    @rate_limit("other")
    def add(one: int, other: int = 1) -> int:
        return one + other

    assert [add(number) for number in range(3)] == [1, 2, 3]
    assert [add.delay(number, other=0).get() for number in range(3)] == [0, 1, 2]


def test_celery_checks_arguments_as_without_it(app: Celery) -> None:
    @app.task(shared=False)
    @rate_limit("my_api")
    def add(one: int, other: int = 1) -> int:
        """Adds two numbers."""
        return one + other

    with pytest.raises(TypeError, match="missing 1 required"):
        add.delay()
    assert list(inspect.signature(add.run).parameters) == ["one", "other"]
    assert add.__doc__ == "Adds two numbers."


def test_an_unknown_bucket_is_told_of_where_the_task_is_looked_up(app: Celery) -> None:
    @app.task(shared=False)
    @rate_limit("my_ap")
    def call() -> None: ...

    with pytest.raises(UnknownTokenBucketError, match=r"not registered.*did you mean 'my_api'"):
        limits_of(app, call)


def test_a_decorator_above_that_of_the_task_is_refused(app: Celery) -> None:
    with pytest.raises(BadOptionError, match=r"put\s@rate_limit under @app.task"):

        @rate_limit("my_api")
        @app.task(shared=False)
        def call() -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected the name of a token bucket as token_bucket"),
        ({"token_bucket": len}, r"with the parentheses"),
        ({"token_bucket": "a", "token_bucket_name": "b"}, "which mean the same"),
        ({"token_bucket": "a", "retry_backoff": 1, "countdown": 2}, "which mean the same"),
        ({"token_bucket": "a", "retry_backoff": 0}, "more than 0"),
        ({"token_bucket": "a", "retry_backoff": True}, "more than 0"),
        ({"token_bucket": "a", "retry_backoff": "300"}, "got '300'"),
        ({"token_bucket": "a", "retry_backoff": float("nan")}, "more than 0"),
        ({"token_bucket": "a", "retry_backoff": 10_000_000}, "at most 2678400"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_written(options: Any, message: str) -> None:
    with pytest.raises(BadOptionError, match=message):
        rate_limit(**options)


def test_shadow_mode_and_switches_hold_for_it_too(app: Celery) -> None:
    @app.task(shared=False, name="calls.one")
    @rate_limit("my_api")
    def call() -> None: ...

    app.conf.ratekit_mode = "shadow"
    plan = LimitBook(settings_of(app)).plan(call)
    assert plan.limits(Call(call.name, call.run)).shadow == (MY_API,)
    app.conf.ratekit_enabled = {"calls.*": False}
    assert not LimitBook(settings_of(app)).plan(call).is_limited
