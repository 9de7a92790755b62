"""All limits of an app at one moment, read from a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from celery.schedules import crontab
from support.backlogs import parking

from celery_ratekit import (
    Concurrency,
    RateLimitedTask,
    ScheduledBucket,
    SlidingWindow,
    StaticRateLimitTask,
    TokenBucket,
)
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.manager import RateLimitManager, board
from celery_ratekit.manager.board import BoardLimit, read_board
from celery_ratekit.tasks.runtime import runtime_of

pytestmark = pytest.mark.redis

LIMITS = [
    TokenBucket("stripe", "60/m", burst=10),
    SlidingWindow("per user", "10/m", key=lambda call: "ann"),
    ScheduledBucket("night", crontab(minute=0, hour=0), 5),
    Concurrency("places", 3, cost=lambda call: 2),
]


def run() -> None:
    """What the tasks do."""


def make_app(url: str) -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(ratekit_redis_url=url, ratekit_redis_timeout=5)
    app.task(name="pay", base=RateLimitedTask, limits=LIMITS, shared=False)(run)
    app.task(name="fixed", base=StaticRateLimitTask, global_rate_limit="9/m", shared=False)(run)
    app.task(name="celerys", rate_limit="10/s", shared=False)(run)
    return app


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = make_app(redis_url)
    yield app
    runtime_of(app).limiter.close()
    app.close()


def read(app: Celery) -> dict[str, BoardLimit]:
    return {one.rate.name: one for one in read_board(RateLimitManager(app)).limits}


def park(app: Celery, queue: str, limit_name: str, count: int) -> None:
    waits = TokenBucket(limit_name, "60/m")
    parked = [
        parking(f"{queue} {number}", waits, queue=queue, wait_seconds=3_600)
        for number in range(count)
    ]
    runtime_of(app).backlog.park(parked)


def test_every_limit_of_ours_is_there_once_in_order_and_celerys_own_is_not(app: Celery) -> None:
    found = read(app)

    assert list(found) == ["fixed", "night", "per user", "places", "stripe"]
    assert [name for name, one in found.items() if one.is_fixed] == ["fixed"]
    assert [name for name, one in found.items() if one.is_keyed] == ["per user"]
    assert not any(one.is_elsewhere for one in found.values())


def test_what_limits_hold_and_how_long_they_are_frozen_is_read(app: Celery) -> None:
    limiter = runtime_of(app).limiter
    limiter.acquire(LIMITS[0].with_cost(4))
    limiter.acquire(Concurrency("places", 3))
    RateLimitManager(app).freeze("per user", 600)

    found = read(app)

    held = {name: one.state.available for name, one in found.items() if one.state is not None}
    assert 6 <= held["stripe"] < 10
    assert held["places"] == 2
    assert held["night"] == 5
    assert 590 < found["per user"].frozen_seconds <= 600
    assert found["stripe"].frozen_seconds == 0


def test_what_is_switched_off_holds_nothing_and_says_by_whom(app: Celery) -> None:
    manager = RateLimitManager(app)
    manager.disable("pay", by="ann")
    assert read(app)["stripe"].state is None
    assert read(app)["fixed"].state is not None
    assert read_board(manager).disabling is None

    manager.disable(by="bob")
    disabling = read_board(manager).disabling
    assert disabling is not None
    assert disabling.by == "bob"


def test_what_waits_is_counted_over_all_queues(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(app, "fast", "stripe", 3)
    park(app, "slow", "stripe", 2)

    assert read(app)["stripe"].waiting == 5
    assert read(app)["night"].waiting == 0
    queues = read_board(RateLimitManager(app)).queues
    assert {name: sizes.waiting for name, sizes in queues.items()} == {"fast": 3, "slow": 2}

    monkeypatch.setattr(board, "MOST_QUEUES", 1)
    bounded = read_board(RateLimitManager(app))
    assert list(bounded.queues) == ["fast"]
    assert bounded.queues_left_out == 1


def test_limits_of_other_workers_are_there_at_the_lowest_rate_that_they_declare(
    app: Celery,
) -> None:
    store = runtime_of(app).limiter.overrides
    store.declare([TokenBucket("elsewhere", "70/m")], 60)
    store.declare([TokenBucket("elsewhere", "30/m"), TokenBucket("stripe", "60/m", burst=10)], 60)

    found = read(app)

    assert [name for name, one in found.items() if one.is_elsewhere] == ["elsewhere"]
    assert found["elsewhere"].rate.rate == "30/m"
    assert found["elsewhere"].rate.disagreement == ("30/m", "70/m")
    assert found["elsewhere"].limit == TokenBucket("elsewhere", "30/m")


def test_more_limits_than_are_asked_at_once_are_all_read(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "LIMITS_AT_ONCE", 2)
    assert all(one.state is not None for one in read(app).values())


def test_without_redis_it_says_so(private_redis: EmbeddedRedis) -> None:
    app = make_app(private_redis.url)
    private_redis.stop()
    with pytest.raises(LimiterUnavailableError):
        read_board(RateLimitManager(app))
    app.close()
