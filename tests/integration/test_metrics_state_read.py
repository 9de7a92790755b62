"""The state that exporters tell is read from a real Redis, in bounded work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_ratekit import Concurrency, Limiter, RateLimitedTask, SlidingWindow, TokenBucket
from celery_ratekit.backlog import Group, Parking
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter.overrides.book import FRESH_SECONDS
from celery_ratekit.limits import Limit
from celery_ratekit.manager import RateLimitManager
from celery_ratekit.metrics import state as state_module
from celery_ratekit.metrics.declared import limits_without_key
from celery_ratekit.metrics.state import StateReader
from celery_ratekit.tasks.runtime import runtime_of

pytestmark = pytest.mark.redis

STRIPE = TokenBucket("stripe", "60/m", burst=10)


def body() -> None:
    pass


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.ratekit_redis_url = redis_url
    app.conf.ratekit_rules = {"reports.*": "100/m"}
    app.conf.ratekit_limits = {"partner": "600/m"}
    limits: list[Limit] = [
        STRIPE,
        SlidingWindow("per user", "10/m", key=lambda call: "ann"),
        Concurrency("places", 3),
        TokenBucket("dear", "10/s", burst=5, cost=lambda call: 2),
    ]
    app.task(base=RateLimitedTask, limits=limits, name="pay", shared=False, lazy=False)(body)
    app.task(name="reports.daily", shared=False, lazy=False)(body)
    app.task(name="free", shared=False, lazy=False)(body)
    app.finalize()
    yield app
    app.close()


def park(app: Celery, count: int, *, groups: int) -> None:
    """Parks calls in so many groups, each under a key of its own."""
    runtime_of(app).backlog.park([_parking(number, number % groups) for number in range(count)])


def _parking(number: int, user: int) -> Parking:
    limit = TokenBucket("per user", "1/h", burst=1, key=f"user {user}")
    return Parking(
        group=Group("celery", "pay", (limit,)),
        task_id=f"task {number}",
        identity=number.to_bytes(8, "big"),
        may_be_stored=True,
        rank=0,
        message=b"message",
        blocked_by=limit,
        wait_seconds=3_600.0,
    )


def test_limits_of_tasks_rules_and_names_are_told_but_none_with_a_key(app: Celery) -> None:
    names = [limit.name for limit in limits_without_key(app, 200)]

    assert sorted(names) == ["dear", "partner", "places", "reports.daily", "stripe"]
    assert len(limits_without_key(app, 3)) == 3


def test_what_limits_hold_is_read(app: Celery, redis_url: str) -> None:
    limiter = Limiter(redis_url)
    limiter.acquire(STRIPE.with_cost(4))
    limiter.acquire(Concurrency("places", 3))
    limiter.freeze(TokenBucket("partner", "600/m"), 50)

    found = {one.declared.name: one for one in StateReader(app).read().limits}

    assert found.keys() == {"dear", "partner", "places", "reports.daily", "stripe"}
    states: dict[str, Any] = {name: one.state for name, one in found.items()}
    assert 6 <= states["stripe"].available <= 10
    assert states["places"].available == 2
    assert states["dear"].available == states["dear"].capacity == 5
    assert 40 < states["partner"].frozen_seconds <= 50
    assert states["stripe"].frozen_seconds == 0
    assert not any(one.is_paused or one.is_disabled for one in found.values())


def test_what_was_set_at_run_time_is_told_beside_what_was_declared(app: Celery) -> None:
    reader = StateReader(app)
    manager = RateLimitManager(app)
    manager.adjust_rate("stripe", "30/m")
    manager.pause("partner")
    manager.disable("dear")

    found = {one.declared.name: one for one in reader.read().limits}

    assert found["stripe"].declared == STRIPE
    rated = found["stripe"].rated
    assert isinstance(rated, TokenBucket)
    assert rated.rate.per_second == 0.5
    assert [name for name, one in found.items() if one.is_paused] == ["partner"]
    assert [name for name, one in found.items() if one.is_disabled] == ["dear"]
    assert found["dear"].state is None

    manager.disable()
    time.sleep(FRESH_SECONDS)
    assert all(one.is_disabled for one in reader.read().limits)


def test_sizes_of_the_backlog_are_read(app: Celery) -> None:
    park(app, 5, groups=2)

    sizes = StateReader(app).read().queues["celery"]

    assert (sizes.waiting, sizes.groups) == (5, 2)
    assert sizes.by_task == {"pay": 5}
    assert sizes.by_limit == {"per user": 5}


def test_the_work_of_a_scrape_does_not_grow_with_the_number_of_groups(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "MOST_GROUPS", 100)
    reader = StateReader(app)
    park(app, 200, groups=200)
    few = calls_of_a_scrape(app, reader)
    park(app, 3_000, groups=3_000)

    assert reader.read().queues["celery"].groups == 3_000
    assert calls_of_a_scrape(app, reader) <= few + 1


def calls_of_a_scrape(app: Celery, reader: StateReader) -> int:
    """How many commands a scrape costs, but for those that measure it."""
    client = runtime_of(app).redis
    reader.read()
    client.config_resetstat()
    reader.read()
    stats: dict[str, dict[str, int]] = client.info("commandstats")
    return sum(stat["calls"] for stat in stats.values())


def test_without_redis_it_is_an_error_of_the_packages_own(
    app: Celery, private_redis: EmbeddedRedis
) -> None:
    app.conf.ratekit_redis_url = private_redis.url
    reader = StateReader(app)
    private_redis.kill()

    with pytest.raises(LimiterUnavailableError):
        reader.read()
