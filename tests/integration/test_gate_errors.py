"""Whatever fails inside a turn of the gate: no task is lost, none starts without its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from support.away import wait_until_recovered
from support.gatehouse import Gatehouse, clean_state
from support.gatehouses import Build, build, clock, limiter, tests_app
from support.world import Clock

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, Limit, TokenBucket
from celery_ratekit.signals import rate_limit_hit

__all__ = ["build", "clock", "limiter", "tests_app"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
PLENTY = TokenBucket("plenty", "1000/s", burst=1000)
LINES = Concurrency("lines", 2)


class Failing:
    """Lets a method raise so many times."""

    def __init__(self, owner: Any, name: str, times: int = 1) -> None:
        self._method: Callable[..., Any] = getattr(owner, name)
        self.left = times
        setattr(owner, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.left > 0:
            self.left -= 1
            raise RuntimeError("as the test wants it")
        return self._method(*args, **kwargs)


def fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("as the test wants it")


@pytest.fixture
def one_limiter(redis_url: str, clock: Clock) -> Iterator[Limiter]:
    """A limiter whose methods a test may replace."""
    limiter = Limiter(redis_url, clock=clock, timeout_seconds=20, on_failure="wait")
    yield limiter
    limiter.close()


def check_all_start_once(house: Gatehouse, ids: list[str], seconds: float = 10) -> None:
    house.run_seconds = 0.001
    house.advance(seconds)
    assert sorted(house.started_ids) == sorted(ids)
    assert house.held_count == 0
    assert house.gate.idle_slots == house.gate.slot_count
    assert house.controller.semaphore.value == house.gate.slot_count


@pytest.mark.parametrize("limits", [(TEN,), (PLENTY,), (LINES,), (TEN, LINES)])
@pytest.mark.parametrize("method", ["reserve_many", "refund_many"])
def test_an_exception_of_the_limiter_loses_no_task_and_no_slot(
    build: Build, one_limiter: Limiter, method: str, limits: tuple[Limit, ...]
) -> None:
    house = build(slots=2, limiter=one_limiter)
    plain = [house.receive_plain().id for _ in range(3)]
    failing = Failing(one_limiter, method, times=3)
    sent = [house.receive(*limits).id for _ in range(6)]
    house.settle()
    house.advance(2)  # what was due meanwhile is late
    for _ in range(3):
        house.end_all()
        house.advance(0.3)

    check_all_start_once(house, plain + sent)
    assert failing.left < 3 or method == "refund_many"


def test_an_exception_while_limits_are_counted_lets_the_task_run(
    build: Build, one_limiter: Limiter
) -> None:
    house = build(slots=4, limiter=one_limiter)
    Failing(one_limiter, "reserve_many", times=2)

    sent = [house.receive(shadow=[TEN]).id for _ in range(3)]
    house.settle()

    check_all_start_once(house, sent)


def test_an_exception_while_limits_are_counted_beside_enforced_ones_loses_nothing(
    build: Build, one_limiter: Limiter
) -> None:
    house = build(slots=1, limiter=one_limiter)
    sent = [house.receive(PLENTY, shadow=[TEN]).id for _ in range(3)]
    failing = Failing(house.asking, "ask_shadow", times=2)
    house.settle()

    check_all_start_once(house, sent)
    assert failing.left == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_of_who_listens_to_hits_changes_nothing(build: Build) -> None:
    house = build(slots=2)
    heard: list[str] = []

    def listen(**hit: Any) -> None:
        heard.append(hit["mode"])
        raise RuntimeError("as the test wants it")

    rate_limit_hit.connect(listen, weak=False)
    try:
        sent = [house.receive(TEN, shadow=[LINES]).id for _ in range(6)]
        check_all_start_once(house, sent)
    finally:
        rate_limit_hit.disconnect(listen)
    assert heard.count("enforce") == 5


def test_a_revoked_task_that_cannot_be_marked_so_holds_up_nobody_and_does_not_run(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = build(slots=2)
    house.run_seconds = 0.001
    slow = TokenBucket("slow", "1/m", burst=1)
    sent = [house.receive(slow) for _ in range(3)]
    house.settle()
    house.revoke(sent[1])
    monkeypatch.setattr(house.app.backend, "mark_as_revoked", fail)

    quick = [house.receive(TEN).id for _ in range(30)]
    house.advance(3)

    assert [one for one in house.started_ids if one in quick] == quick
    house.advance(120)
    assert house.started_ids[0] == sent[0].id
    assert house.started_ids[-1] == sent[2].id
    assert not sent[1].acknowledged  # so the broker delivers it again
    assert house.gate.idle_slots == 2


def test_a_revoked_task_that_cannot_be_marked_so_at_its_start_leaves_it_to_the_next(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = build(slots=1)
    house.receive_plain()
    sent = [house.receive(PLENTY) for _ in range(3)]
    house.settle()
    house.revoke(sent[0])
    monkeypatch.setattr(house.app.backend, "mark_as_revoked", fail)

    house.end_all()
    house.run_seconds = 0.001
    house.advance(5)

    assert not sent[0].acknowledged
    assert house.started_ids[1:] == [sent[1].id, sent[2].id]
    assert house.gate.idle_slots == 1


def test_a_pool_that_does_not_take_a_task_leaves_its_slot_to_the_next(build: Build) -> None:
    house = build(slots=1)
    house.run_seconds = 0.001
    refused = Failing(house.pool, "apply_async")
    sent = [house.receive(PLENTY).id for _ in range(3)]

    house.advance(3)

    assert refused.left == 0
    assert house.started_ids == sent[1:]
    assert house.gate.idle_slots == 1


@pytest.fixture
def house_of_private_redis(
    private_redis: EmbeddedRedis, tests_app: Celery, clock: Clock
) -> Iterator[tuple[Gatehouse, Limiter]]:
    limiter = Limiter(private_redis.url, clock=clock, timeout_seconds=20, on_failure="wait")
    with clean_state():
        house = Gatehouse(tests_app, limiter, clock, 4)
        yield house, limiter
        house.asking.close()
    limiter.close()


@pytest.mark.parametrize("limits", [(TEN,), (LINES,), (TEN, LINES)])
def test_while_redis_is_away_nothing_leaves_the_gate_and_all_starts_once_it_is_back(
    private_redis: EmbeddedRedis,
    house_of_private_redis: tuple[Gatehouse, Limiter],
    limits: tuple[Limit, ...],
) -> None:
    house, limiter = house_of_private_redis
    first = house.receive(*limits).id
    house.settle()
    house.end_all()
    private_redis.kill()

    sent = [house.receive(*limits).id for _ in range(8)]
    house.advance(5)
    house.run_seconds = 0.001
    assert house.started_ids == [first]
    assert house.held_count == 8
    private_redis.restart()
    assert wait_until_recovered(limiter, PLENTY).granted
    house.advance(5)

    assert house.started_ids == [first, *sent]


def test_what_was_promised_before_redis_went_away_still_starts_in_time(
    private_redis: EmbeddedRedis, house_of_private_redis: tuple[Gatehouse, Limiter]
) -> None:
    house, _ = house_of_private_redis
    sent = [house.receive(TEN).id for _ in range(9)]
    house.settle()
    promised = house.gate.room.granted_count
    private_redis.kill()

    house.advance(5)

    assert promised == 3
    assert house.started_ids == sent[:4]
    assert all(one.late_us <= 1 for one in house.started)


def test_with_the_policy_raise_nothing_is_lost_either(
    private_redis: EmbeddedRedis, tests_app: Celery, clock: Clock
) -> None:
    limiter = Limiter(private_redis.url, clock=clock, timeout_seconds=20)
    with clean_state():
        house = Gatehouse(tests_app, limiter, clock, 4)
        private_redis.kill()
        sent = [house.receive(TEN, shadow=[LINES]).id for _ in range(4)]
        house.advance(5)
        with pytest.raises(LimiterUnavailableError):
            limiter.acquire(TEN)
        assert house.started == []
        private_redis.restart()
        wait_until_recovered(limiter, PLENTY)
        house.run_seconds = 0.001
        house.advance(5)
        assert house.started_ids == sent
        house.asking.close()
    limiter.close()
