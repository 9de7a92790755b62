"""Tasks with one rate for all calls, and tasks of which only so many run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task

from celery_ratekit import (
    Concurrency,
    ConcurrencyLimitTask,
    DynamicRateLimitTask,
    Limit,
    PerUserRateLimitTask,
    RateLimitedTask,
    StaticRateLimitTask,
    TokenBucket,
    TokenBucketTask,
)
from celery_ratekit.errors import BadKeyError, BadOptionError, CostExceedsCapacityError
from celery_ratekit.tasks import Call


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose servers do not exist."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield app
    app.close()


def charge(customer: Any = 0, amount: int = 0) -> str:
    return f"charged {customer}"


def define(app: Celery, base: type[Task], **options: Any) -> Any:
    return app.task(base=base, name="charge", shared=False, lazy=False, **options)(charge)


def limits_of(task: Any, *args: Any, **kwargs: Any) -> list[Limit]:
    limits: list[Limit] = task.resolved_limits(Call(task.name, task.run, args, kwargs, "id"))
    return limits


RATED = [
    (StaticRateLimitTask, "global_rate_limit", "global_rate_limit_key"),
    (DynamicRateLimitTask, "default_rate_limit", "dynamic_rate_limit_key"),
]


@pytest.mark.parametrize(("base", "rate", "key"), RATED)
def test_a_rate_makes_one_bucket_that_spaces_all_calls(
    base: Any, rate: str, key: str, app: Celery
) -> None:
    assert limits_of(define(app, base, **{rate: "100/m"})) == [TokenBucket("charge", "100/m")]


@pytest.mark.parametrize(("base", "rate", "key"), RATED)
def test_a_rate_may_say_its_burst_and_a_key_may_be_shared(
    base: Any, rate: str, key: str, app: Celery
) -> None:
    task = define(app, base, **{rate: "100/m:20", key: "stripe"})

    assert limits_of(task) == [TokenBucket("stripe", "100/m:20", burst=20)]


@pytest.mark.parametrize(("base", "rate", "key"), RATED)
@pytest.mark.parametrize("value", [None, "fast", ["10/s"], -1, "10/m:0.5", True])
def test_a_rate_that_is_missing_or_cannot_work_is_refused(
    value: Any, base: Any, rate: str, key: str, app: Celery
) -> None:
    with pytest.raises(BadOptionError, match="'charge' cannot be limited: "):
        define(app, base, **{rate: value})


@pytest.mark.parametrize(("base", "rate", "key"), RATED)
def test_the_error_about_a_missing_rate_says_which_option_is_expected(
    base: Any, rate: str, key: str, app: Celery
) -> None:
    with pytest.raises(BadOptionError, match=rf'{rate}=None .*expected a rate such as "100/m"'):
        define(app, base)


@pytest.mark.parametrize(("base", "rate", "key"), RATED)
def test_a_key_that_is_no_text_is_refused(base: Any, rate: str, key: str, app: Celery) -> None:
    with pytest.raises(BadOptionError, match=f"'charge' cannot be limited: {key}=12"):
        define(app, base, **{rate: "1/s", key: 12})


@pytest.mark.parametrize(("base", "rate", "key"), RATED)
def test_annotations_decide_rate_and_key(base: Any, rate: str, key: str, app: Celery) -> None:
    app.conf.task_annotations = {"charge": {rate: "3/s", key: "stripe"}}

    assert limits_of(define(app, base, **{rate: "1/s"})) == [TokenBucket("stripe", "3/s")]


def test_the_rate_of_a_dynamic_task_comes_from_one_place(app: Celery) -> None:
    class Overridden(DynamicRateLimitTask):
        abstract = True

        @classmethod
        def dynamic_limit(cls) -> TokenBucket:
            return super().dynamic_limit().with_rate("7/s")

    task = define(app, Overridden, default_rate_limit="1/s")

    assert limits_of(task) == task.declared_limits() == [TokenBucket("charge", "7/s")]


# -- places ---------------------------------------------------------------------------------------


def test_places_are_shared_by_all_calls_of_the_task(app: Celery) -> None:
    task = define(app, ConcurrencyLimitTask, max_concurrent=3)

    assert limits_of(task, 7) == [Concurrency("charge", 3)]


def test_places_may_be_shared_by_tasks_and_be_each_users_own(app: Celery) -> None:
    task = define(
        app,
        ConcurrencyLimitTask,
        max_concurrent=3,
        concurrency_key="smtp",
        concurrency_argument="customer",
    )

    assert limits_of(task, 7) == limits_of(task, customer=7) == [Concurrency("smtp", 3, key=7)]
    with pytest.raises(BadKeyError, match="the argument 'customer' of the task 'charge'"):
        limits_of(task, None)


@pytest.mark.parametrize("size", [None, 2.5, "3", -1, True, [3]])
def test_a_number_of_places_that_is_missing_or_no_whole_number_is_refused(
    size: Any, app: Celery
) -> None:
    define(app, ConcurrencyLimitTask, max_concurrent=1)  # True is 1 to a cache.
    app.tasks.unregister("charge")

    with pytest.raises(BadOptionError, match=r"'charge' .*max_concurrent=.*whole number"):
        define(app, ConcurrencyLimitTask, max_concurrent=size)


@pytest.mark.parametrize("argument", ["user_id", "self", 3])
def test_an_argument_that_the_function_does_not_have_is_refused(argument: Any, app: Celery) -> None:
    with pytest.raises(BadOptionError, match=r"'charge' .*concurrency_argument"):
        define(app, ConcurrencyLimitTask, max_concurrent=1, concurrency_argument=argument)


# -- options of all classes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "option", "meant"),
    [
        (PerUserRateLimitTask, "user_ratelimit", "user_rate_limit"),
        (PerUserRateLimitTask, "user_arguments", "user_argument"),
        (StaticRateLimitTask, "global_ratelimit", "global_rate_limit"),
        (DynamicRateLimitTask, "default_ratelimit", "default_rate_limit"),
        (ConcurrencyLimitTask, "max_concurrency", "max_concurrent"),
        (RateLimitedTask, "max_ratelimited", "max_rate_limited"),
        (RateLimitedTask, "modes", "mode"),
    ],
)
def test_near_misses_are_named(base: Any, option: str, meant: str, app: Celery) -> None:
    with pytest.raises(BadOptionError, match=f"no option '{option}'; did you mean '{meant}'"):
        define(app, base, **{option: "5/m"})


def test_usual_words_stay_the_users_own(app: Celery) -> None:
    task = define(app, RateLimitedTask, model="User", node=1, code=2)

    assert (task.model, task.node, task.code) == ("User", 1, 2)


def test_an_option_of_a_class_that_is_none_of_the_bases_is_refused_with_a_way_out(
    app: Celery,
) -> None:
    expected = (
        r"'charge' sets max_concurrent, an option of ConcurrencyLimitTask, which is none of its "
        r"bases; write for example base=compose\(TokenBucketTask, ConcurrencyLimitTask\)"
    )

    with pytest.raises(BadOptionError, match=expected):
        define(app, TokenBucketTask, max_concurrent=3)


def test_an_annotation_for_all_tasks_may_have_options_of_some(app: Celery) -> None:
    app.conf.task_annotations = {"*": {"bucket_size": 3, "max_concurrent": 2}}

    assert limits_of(define(app, TokenBucketTask)) == [TokenBucket("charge", 10, burst=3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "shaddow"}, "expected one of 'enforce', 'shadow' for mode, .*mean 'shadow'"),
        ({"mode": None}, "mode"),
        ({"mode": True}, "mode"),
        ({"max_rate_limited": -1}, "max_rate_limited, got -1"),
        ({"max_rate_limited": 2.5}, "max_rate_limited"),
        ({"max_rate_limited": None}, "max_rate_limited"),
        ({"max_rate_limited": True}, "max_rate_limited"),
    ],
)
def test_common_options_are_checked_naming_the_task(
    options: Any, message: str, app: Celery
) -> None:
    with pytest.raises(BadOptionError, match=f"'charge' cannot be limited: .*{message}"):
        define(app, RateLimitedTask, **options)


def test_shadow_mode_is_known(app: Celery) -> None:
    assert define(app, TokenBucketTask, mode="shadow", max_rate_limited=0).mode == "shadow"


def test_a_cost_above_the_capacity_fails_the_call_naming_task_and_limit(app: Celery) -> None:
    task = define(
        app,
        TokenBucketTask,
        rate_limit_key="stripe",
        bucket_size=5,
        cost=lambda call: call.arguments["amount"],
    )
    expected = "a call of the task 'charge' costs 6 of the limit 'stripe'.*more than 5"

    assert limits_of(task, 1, 5)[0].cost == 5
    with pytest.raises(CostExceedsCapacityError, match=expected):
        limits_of(task, 1, 6)
