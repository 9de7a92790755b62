"""What stands in Redis: versions, forms, and what of it another release may meet."""

from __future__ import annotations

import math
import struct

import pytest
import redis
from celery.schedules import crontab
from support.clocked import clock, limiter, redis_server_client
from support.world import Clock

from celery_ratekit.errors import StateVersionError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import FixedWindow, Limit, ScheduledBucket, TokenBucket

__all__ = ["clock", "limiter", "redis_server_client"]

pytestmark = pytest.mark.redis

BUCKET = TokenBucket("stripe", "1/s", burst=10)
SECOND = 1_000_000
STATE_KEYS: dict[str, Limit] = {
    "ratekit:t{stripe}": BUCKET,
    "ratekit:f{stripe}": FixedWindow("stripe", "1/m"),
    "ratekit:c{stripe}": ScheduledBucket("stripe", crontab(minute=0), 5),
}


@pytest.mark.parametrize("key", STATE_KEYS)
@pytest.mark.parametrize("state", [b"\2", b"\2" + bytes(27), b"\0" + bytes(60), b"", b"\xff" * 200])
def test_a_state_of_an_unknown_version_is_refused_and_left_alone(
    limiter: Limiter, redis_server_client: redis.Redis, key: str, state: bytes
) -> None:
    redis_server_client.set(key, state)
    beside = TokenBucket("beside", "1/h")
    for limits in ([STATE_KEYS[key]], [beside, STATE_KEYS[key]]):
        with pytest.raises(StateVersionError, match="upgrade"):
            limiter.acquire(limits)
        with pytest.raises(StateVersionError, match="upgrade"):
            limiter.reserve(limits)
        with pytest.raises(StateVersionError, match="upgrade"):
            limiter.inspect(limits)
    assert redis_server_client.get(key) == state
    assert limiter.acquire(beside), "the other limit was not charged"


def plain(now: int, offset: float, expiry: int) -> bytes:
    return b"\1" + now.to_bytes(7, "little") + struct.pack("<ddI", offset, SECOND, expiry)


@pytest.mark.parametrize(
    "long", [b"", struct.pack("<dd", 0, math.inf)], ids=["28 bytes", "44 bytes"]
)
def test_both_forms_of_a_token_bucket_are_read(
    limiter: Limiter, clock: Clock, redis_server_client: redis.Redis, long: bytes
) -> None:
    written = clock.now - 2 * SECOND
    state = plain(written, -1.5 * SECOND, clock.now // SECOND + 60) + long
    redis_server_client.set("ratekit:t{stripe}", state, ex=60)
    assert [limiter.acquire(BUCKET).granted for _ in range(4)] == [True, True, True, False]
    assert limiter.acquire(BUCKET).wait_seconds == 0.5


def test_the_state_is_as_long_as_it_must_be(
    limiter: Limiter, redis_server_client: redis.Redis
) -> None:
    def length() -> int:
        return int(redis_server_client.strlen("ratekit:t{stripe}"))

    limiter.acquire(BUCKET)
    assert length() == 28
    limiter.reserve(BUCKET, 12, horizon=2)
    assert length() == 28, "a promise of starts as early as can be needs no more"
    limiter.refund(limiter.reserve(BUCKET, 1, horizon=9).decision(0))
    assert length() == 44


def test_a_bucket_returns_to_the_short_form_when_its_promises_have_passed(
    limiter: Limiter, clock: Clock, redis_server_client: redis.Redis
) -> None:
    reserved = limiter.reserve(BUCKET, 12, horizon=2)
    limiter.refund(reserved.decision(11))
    assert redis_server_client.strlen("ratekit:t{stripe}") == 44
    clock.step(5 * SECOND)
    assert limiter.acquire(BUCKET)
    assert redis_server_client.strlen("ratekit:t{stripe}") == 28


def test_an_unlimited_rate_leaves_the_state_for_the_next_limited_one(limiter: Limiter) -> None:
    assert limiter.acquire(BUCKET.with_cost(10))
    assert limiter.acquire(BUCKET.with_rate("unlimited"))
    assert not limiter.acquire(BUCKET)


def test_a_pause_is_a_closed_door_behind_which_tokens_come_back(
    limiter: Limiter, clock: Clock
) -> None:
    assert limiter.acquire(BUCKET.with_cost(10))
    clock.step(3 * SECOND)
    paused = limiter.acquire(BUCKET.with_rate(0))
    assert not paused
    assert (paused.reason, paused.wait_seconds) == ("paused", math.inf)
    clock.step(3 * SECOND)
    assert sum(limiter.acquire(BUCKET).granted for _ in range(20)) == 6
