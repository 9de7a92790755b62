"""What can be written about a task whose rate is learned, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_ratekit import (
    AdaptiveRateLimitTask,
    ConcurrencyLimitTask,
    DynamicRateLimitTask,
    FixedWindow,
    Limit,
    PerUserRateLimitTask,
    RateLimitedTask,
    StaticRateLimitTask,
    TokenBucket,
    TokenBucketTask,
    compose,
)
from celery_ratekit.adaptive.law import Bounds
from celery_ratekit.errors import BadOptionError, RateLimitedError
from celery_ratekit.tasks import Call
from celery_ratekit.tasks.adaptive import _bounds_of


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose servers do not exist."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield app
    app.close()


def charge(user_id: int = 0) -> str:
    return f"charged {user_id}"


def define(app: Celery, base: Any = AdaptiveRateLimitTask, **options: Any) -> Any:
    return app.task(base=base, name="charge", shared=False, lazy=False, **options)(charge)


def limits_of(task: Any, *args: Any) -> list[Limit]:
    limits: list[Limit] = task.resolved_limits(Call(task.name, task.run, args, {}, "id"))
    return limits


def bounds_of(task: Any) -> Bounds:
    return _bounds_of(type(task))


def test_a_ceiling_is_all_that_it_takes(app: Celery) -> None:
    task = define(app, max_rate="120/m")

    assert limits_of(task) == [TokenBucket("charge", "120/m")]
    assert bounds_of(task) == Bounds(2.0, 0.02, 2.0)


def test_a_start_with_a_burst_and_a_floor_may_be_said_and_the_limit_be_shared(app: Celery) -> None:
    options: dict[str, Any] = {"rate": "10/s:5", "min_rate": 1, "max_rate": "1000/s"}

    task = define(app, adaptive_rate_limit_key="stripe", **options)

    assert limits_of(task) == [TokenBucket("stripe", "10/s:5")]
    assert bounds_of(task) == Bounds(10.0, 1.0, 1000.0)


@pytest.mark.parametrize("value", ["fast", ["10/s"], -1, True, "unlimited", 0, "0/m"])
@pytest.mark.parametrize("option", ["rate", "min_rate", "max_rate"])
def test_a_bound_that_cannot_work_is_refused_by_its_name(
    option: str, value: Any, app: Celery
) -> None:
    with pytest.raises(BadOptionError, match=f"'charge' cannot be limited: {option}="):
        define(app, **{"max_rate": "10/s", option: value})


def test_a_ceiling_is_required(app: Celery) -> None:
    with pytest.raises(BadOptionError, match="max_rate=None cannot work: expected a rate such as"):
        define(app, rate="10/s")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_rate": "11/s"}, r'expected a floor of at most max_rate \("10/s"\), got "11/s"'),
        ({"rate": "11/s"}, r'between min_rate \("6/m"\) and max_rate \("10/s"\), got "11/s"'),
        ({"rate": "1/s", "min_rate": "2/s"}, r'between min_rate \("2/s"\) and .*, got "1/s"'),
    ],
)
def test_bounds_out_of_order_are_refused(
    options: dict[str, Any], message: str, app: Celery
) -> None:
    with pytest.raises(BadOptionError, match=message):
        define(app, max_rate="10/s", **options)


def test_a_misspelt_bound_is_refused(app: Celery) -> None:
    with pytest.raises(BadOptionError, match="no option 'maxrate'; did you mean 'max_rate'"):
        define(app, maxrate="10/s")


def test_a_bound_without_the_class_is_refused(app: Celery) -> None:
    with pytest.raises(BadOptionError, match="max_rate, an option of AdaptiveRateLimitTask"):
        define(app, TokenBucketTask, max_rate="10/s")


OTHERS = [
    (TokenBucketTask, {}, ["charge", "charge (tokens)"]),
    (StaticRateLimitTask, {"global_rate_limit": "5/s"}, ["charge", "charge (static)"]),
    (DynamicRateLimitTask, {"default_rate_limit": "5/s"}, ["charge", "charge (adaptive)"]),
    (ConcurrencyLimitTask, {"max_concurrent": 2}, ["charge", "charge"]),
    (PerUserRateLimitTask, {}, ["charge", "charge"]),
]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(("other", "options", "names"), OTHERS)
def test_it_goes_together_with_every_other_class_in_any_order(
    other: type[RateLimitedTask],
    options: dict[str, Any],
    names: list[str],
    swapped: bool,
    app: Celery,
) -> None:
    bases = (other, AdaptiveRateLimitTask) if swapped else (AdaptiveRateLimitTask, other)

    task = define(app, compose(*bases), max_rate="10/s", **options)

    assert sorted(limit.name for limit in limits_of(task, 7)) == names


def test_a_refusal_concerns_the_learned_rate_unless_the_body_says_otherwise(app: Celery) -> None:
    task = define(app, compose(PerUserRateLimitTask, AdaptiveRateLimitTask), max_rate="10/s")
    limits = limits_of(task, 7)

    assert [type(limit) for limit in limits] in (
        [FixedWindow, TokenBucket],
        [TokenBucket, FixedWindow],
    )
    assert task._limit_of_service(limits) == TokenBucket("charge", "10/s")


def test_direct_calls_and_eager_mode_need_no_redis_and_learn_nothing(app: Celery) -> None:
    @app.task(base=AdaptiveRateLimitTask, bind=True, name="asks", shared=False, max_rate="10/s")
    def asks(self: Any, refused: bool) -> str:
        if refused:
            raise self.rate_limited(3)
        return "answered"

    assert asks(False) == asks.apply((False,)).get() == "answered"
    with pytest.raises(RateLimitedError, match="in 3 s"):
        asks(True)
    with pytest.raises(RateLimitedError, match="in 3 s"):
        asks.apply((True,), throw=True)
