"""Limits say what they are told, refuse what cannot be kept, and say what to write instead."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any
from uuid import UUID

import pytest
from celery.schedules import crontab

from celery_ratekit.errors import (
    BadKeyError,
    BadLimitError,
    BadRateError,
    CostExceedsCapacityError,
    RatekitError,
)
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)
from celery_ratekit.rates import Rate

HOURLY = crontab(minute=0)

LIMITS: list[Limit] = [
    TokenBucket("stripe", "25/s", burst=100, key="user", cost=2, tag="payments"),
    FixedWindow("stripe", "25/s", key=7, cost=0.5),
    SlidingWindow("stripe", "25/s", key=UUID(int=5), cost=25),
    ScheduledBucket("stripe", HOURLY, 10, 100, cost=2.5),
    Concurrency("stripe", 5, lease_seconds=30, cost=2),
]
each_limit = pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: type(limit).__name__)


@each_limit
def test_a_limit_is_equal_to_another_that_says_the_same(limit: Limit) -> None:
    twin = pickle.loads(pickle.dumps(limit))
    assert twin == limit
    assert hash(twin) == hash(limit)
    assert repr(twin) == repr(limit)
    assert {limit: 1}[twin] == 1
    assert copy.deepcopy(limit) == copy.copy(limit) == limit


@each_limit
def test_a_limit_differs_where_anything_it_says_differs(limit: Limit) -> None:
    others = [limit.with_name("other"), limit.with_key("other"), limit.with_cost(1)]
    others += [one for one in LIMITS if one is not limit]
    assert all(other != limit for other in others)
    assert limit != "stripe"


def test_what_only_one_kind_says_makes_a_difference_too() -> None:
    assert TokenBucket("a", "1/s", 2) != TokenBucket("a", "1/s", 3)
    assert TokenBucket("a", "1/s") != TokenBucket("a", "1/s", lowered_at=5)
    assert Concurrency("a", 5) != Concurrency("a", 5, lease_seconds=5)
    assert ScheduledBucket("a", HOURLY, 1) != ScheduledBucket("a", crontab(minute=1), 1)
    assert ScheduledBucket("a", HOURLY, 1) == ScheduledBucket("a", crontab(minute=0), 1)
    assert FixedWindow("a", "1/s") != SlidingWindow("a", "1/s")


@each_limit
def test_a_limit_cannot_be_changed(limit: Limit) -> None:
    with pytest.raises(AttributeError, match="with_"):
        limit.name = "other"
    with pytest.raises((AttributeError, TypeError)):
        del limit.name
    with pytest.raises(AttributeError):
        limit.unheard_of = 1


@each_limit
def test_with_changes_one_thing_and_keeps_the_rest(limit: Limit) -> None:
    changed = limit.with_key("k").with_name("n").with_cost(1)
    assert (changed.name, changed.key, changed.cost) == ("n", "k", 1)
    assert changed.with_name("stripe").with_key(limit.key).with_cost(limit.cost) == limit


def test_another_rate_keeps_the_burst_unless_it_says_one() -> None:
    bucket = TokenBucket("stripe", "25/s", burst=100)
    assert bucket.with_rate("5/s") == TokenBucket("stripe", "5/s", burst=100)
    assert bucket.with_rate("5/s:7").burst == 7
    assert bucket.with_rate("5/s", lowered_at=9).lowered_at == 9


def test_a_burst_is_taken_from_the_rate_else_it_is_one() -> None:
    assert TokenBucket("a", "10/m:5").burst == 5
    assert TokenBucket("a", "10/m").burst == 1
    assert TokenBucket("a", "10/m:5", burst=7).burst == 7


def test_the_longest_call_that_can_be_granted_is_the_capacity() -> None:
    assert [limit.capacity for limit in LIMITS] == [100, 25, 25, 100, 5]
    assert SlidingWindow("a", "2.5/s").capacity == 2


@each_limit
def test_a_cost_above_the_capacity_is_an_error_of_its_own_type(limit: Limit) -> None:
    limit.with_cost(limit.capacity)
    with pytest.raises(CostExceedsCapacityError, match=r"'stripe'.*lower the cost") as error:
        limit.with_cost(limit.capacity + 1)
    assert (error.value.limit_name, error.value.cost) == ("stripe", limit.capacity + 1)
    assert error.value.capacity == limit.capacity
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_a_limit_may_be_unlimited_or_paused_at_any_cost() -> None:
    for kind in (TokenBucket, FixedWindow, SlidingWindow):
        assert kind("a", "unlimited", cost=1_000).is_unlimited
        assert kind("a", 0, cost=1_000).is_paused
        assert not kind("a", 5).is_paused
    assert Concurrency("a", 0).is_paused


@pytest.mark.parametrize(
    ("make", "error", "advice"),
    [
        (lambda: TokenBucket("a"), BadRateError, "'a', got none"),
        (lambda: TokenBucket("a", [1]), BadRateError, "list"),  # type: ignore[arg-type]
        (lambda: TokenBucket("a", "10/min"), BadRateError, 'write "10/m"'),
        (lambda: TokenBucket("a", True), BadRateError, "True"),
        (lambda: TokenBucket(5, "1/s"), BadKeyError, 'for example "stripe"'),  # type: ignore[arg-type]
        (lambda: TokenBucket("a", "1/s", key=1.5), BadKeyError, "float"),  # type: ignore[arg-type]
        (lambda: TokenBucket("a", "1/s", key=True), BadKeyError, "bool"),
        (lambda: TokenBucket("a", "1/s", key=None), BadKeyError, "NoneType"),  # type: ignore[arg-type]
        (lambda: TokenBucket("a", "1/s", tag=1), BadKeyError, "tag"),  # type: ignore[arg-type]
        (lambda: TokenBucket("a", "1/s", burst=0), BadLimitError, "burst of the limit 'a'"),
        (lambda: TokenBucket("a", "1/s", burst=math.nan), BadLimitError, "nan"),
        (lambda: TokenBucket("a", "1/s", burst=math.inf), BadLimitError, "inf"),
        (lambda: TokenBucket("a", "1/s", cost=-1), BadLimitError, "0 or more"),
        (lambda: TokenBucket("a", "1/s", cost=math.nan), BadLimitError, "nan"),
        (lambda: TokenBucket("a", "1/s", cost=math.inf), BadLimitError, "inf"),
        (lambda: TokenBucket("a", "1/s", cost="1"), BadLimitError, "'1'"),  # type: ignore[arg-type]
        (lambda: FixedWindow("a", "0.5/m"), BadLimitError, 'write for example "1/120s"'),
        (lambda: SlidingWindow("a", "0.5/m"), BadLimitError, 'write for example "1/120s"'),
        (lambda: SlidingWindow("a", "10001/m"), BadLimitError, "use TokenBucket"),
        (lambda: SlidingWindow("a", "10/m", cost=1.5), BadLimitError, "whole number"),
        (lambda: Concurrency("a"), BadLimitError, "got None"),
        (lambda: Concurrency("a", -1), BadLimitError, "from 0"),
        (lambda: Concurrency("a", 1.5), BadLimitError, "whole number"),  # type: ignore[arg-type]
        (lambda: Concurrency("a", True), BadLimitError, "True"),
        (lambda: Concurrency("a", 100_001), BadLimitError, "100,000"),
        (lambda: Concurrency("a", 5, cost=1.5), BadLimitError, "whole number"),
        (lambda: Concurrency("a", 5, lease_seconds=0), BadLimitError, "lease_seconds"),
        (lambda: ScheduledBucket("a"), BadLimitError, "crontab"),
        (lambda: ScheduledBucket("a", "0 * * * *", 1), BadLimitError, "str"),  # type: ignore[arg-type]
        (lambda: ScheduledBucket("a", HOURLY), BadLimitError, "amount"),
        (lambda: ScheduledBucket("a", HOURLY, 5, 4), BadLimitError, "raise the maximum"),
        (lambda: ScheduledBucket("a", HOURLY, 1, 10_001), BadLimitError, "10,000 refills"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_advice(
    make: Any, error: type[Exception], advice: str
) -> None:
    with pytest.raises(error, match=advice) as raised:
        make()
    assert isinstance(raised.value, RatekitError)
    assert len(str(raised.value)) < 400


def test_a_rate_may_be_given_in_any_form() -> None:
    for form in ("60/m", Rate(60, 60), Rate.parse("60/60s")):
        assert TokenBucket("a", form) == TokenBucket("a", "60/m")
    assert TokenBucket("a", 12.5).rate.per_second == 12.5


def test_a_limit_of_a_task_is_worked_out_for_each_call() -> None:
    limit = TokenBucket(rate="1/s", burst=9, key=lambda call: call["user"], cost=lambda call: 4)
    assert limit.shown_name == "(unnamed)"
    assert limit.resolved("task", {"user": 7}) == TokenBucket("task", "1/s", 9, key=7, cost=4)
    named = TokenBucket("own", "1/s", key=lambda call: call["user"])
    assert named.resolved("task", {"user": "x"}).name == "own"
    plain = TokenBucket("own", "1/s")
    assert plain.resolved("task", None) is plain


@pytest.mark.parametrize("key", [None, "", 1.5, True, ["a"]])
def test_a_key_that_does_not_tell_callers_apart_is_refused(key: object) -> None:
    limit = TokenBucket("a", "1/s", key=lambda call: key)  # type: ignore[arg-type, return-value]
    with pytest.raises(BadKeyError):
        limit.resolved("task", None)


def test_a_cost_that_is_worked_out_is_checked_like_any_other() -> None:
    limit = TokenBucket("a", "1/s", burst=5, cost=lambda call: call)
    assert limit.resolved("task", 5).cost == 5
    with pytest.raises(CostExceedsCapacityError):
        limit.resolved("task", 6)
    with pytest.raises(BadLimitError):
        limit.resolved("task", -1)


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        (LIMITS[0], "TokenBucket('stripe', '25/s', burst=100, key='user', cost=2, tag='payments')"),
        (TokenBucket(rate="1/s"), "TokenBucket(rate='1/s')"),
        (TokenBucket("a", "1/s:3"), "TokenBucket('a', '1/s:3')"),
        (LIMITS[1], "FixedWindow('stripe', '25/s', key=7, cost=0.5)"),
        (Concurrency(size=3), "Concurrency(size=3)"),
    ],
)
def test_a_limit_is_shown_as_it_may_be_written(limit: Limit, shown: str) -> None:
    assert repr(limit) == shown
