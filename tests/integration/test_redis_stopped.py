"""While Redis is stopped each policy gives its answer, and the same limiter recovers after."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.away import SLOW, Told, wait_until_recovered

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, TokenBucket

pytestmark = pytest.mark.redis


def test_raise_says_that_nothing_was_charged(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url)
    limiter.acquire(SLOW)
    private_redis.kill()

    with pytest.raises(LimiterUnavailableError, match="could not be reached") as caught:
        limiter.acquire(SLOW)

    assert caught.value.maybe_charged is False
    assert caught.value.__cause__ is not None


def test_wait_grants_nothing_and_says_when_to_ask_again(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, on_failure="wait")
    private_redis.kill()

    decision = limiter.acquire(SLOW)

    assert not decision.granted
    assert decision.degraded
    assert decision.reason == "unavailable"
    assert decision.blocked_by == SLOW
    assert 0 < decision.wait_seconds <= 2


def test_allow_grants_and_marks_it(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, on_failure="allow")
    private_redis.kill()

    assert limiter.acquire(SLOW).granted
    assert limiter.acquire(SLOW).degraded
    assert len(limiter.reserve(SLOW, 5)) == 5


def test_what_was_granted_without_redis_is_never_given_back_to_it(
    private_redis: EmbeddedRedis,
) -> None:
    limiter = Limiter(private_redis.url, on_failure="allow")
    private_redis.kill()
    decision = limiter.acquire(SLOW)
    private_redis.restart()
    wait_until_recovered(limiter)

    limiter.refund(decision)

    assert limiter.inspect(SLOW)[0].available < SLOW.burst


def test_share_grants_its_share_and_no_more(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, on_failure="share")
    limit = TokenBucket("stripe", "1/d", burst=5)
    limiter.inspect(limit)
    private_redis.kill()

    answers = [limiter.acquire(limit) for _ in range(8)]

    assert [one.granted for one in answers] == [True] * 5 + [False] * 3
    assert all(one.degraded for one in answers)


@pytest.mark.parametrize("policy", ["raise", "wait", "allow", "share"])
def test_the_same_limiter_recovers_and_tells_each_change_once(
    policy: str, private_redis: EmbeddedRedis
) -> None:
    told = Told()
    limiter = Limiter(private_redis.url, on_failure=policy, on_degraded=told)
    limiter.acquire(SLOW)
    private_redis.kill()

    for _ in range(30):
        try:
            limiter.acquire(SLOW)
        except LimiterUnavailableError:
            assert policy == "raise"
    assert told.changes == [True]
    assert isinstance(told.errors[0], LimiterUnavailableError)

    private_redis.restart()
    assert wait_until_recovered(limiter).granted
    assert told.changes == [True, False]


def test_a_restart_between_two_questions_is_not_noticed(private_redis: EmbeddedRedis) -> None:
    told = Told()
    limiter = Limiter(private_redis.url, on_degraded=told)
    limiter.acquire(SLOW)

    private_redis.restart()

    assert limiter.acquire(SLOW).granted
    assert told.changes == []


def test_a_limiter_may_be_made_before_its_redis(private_redis: EmbeddedRedis) -> None:
    private_redis.kill()
    limiter = Limiter(private_redis.url)
    with pytest.raises(LimiterUnavailableError):
        limiter.acquire(SLOW)

    private_redis.restart()

    assert wait_until_recovered(limiter).granted


PLACES = Concurrency("database", 3)
AFTERWARDS: dict[str, Callable[[Limiter], object]] = {
    "inspect": lambda limiter: limiter.inspect(SLOW),
    "freeze": lambda limiter: limiter.freeze(SLOW, 5),
    "reset": lambda limiter: limiter.reset(SLOW),
    "redeem": lambda limiter: limiter.redeem("id", "owner", SLOW, 0.1),
}


@pytest.mark.parametrize("policy", ["raise", "wait", "allow", "share"])
@pytest.mark.parametrize("name", AFTERWARDS)
def test_questions_that_no_policy_can_answer_raise(
    name: str, policy: str, unreachable_url: str
) -> None:
    limiter = Limiter(unreachable_url, on_failure=policy)

    with pytest.raises(LimiterUnavailableError):
        AFTERWARDS[name](limiter)


@pytest.fixture(scope="module")
def unreachable_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"unix://{tmp_path_factory.mktemp('nothing')}/redis.sock"
