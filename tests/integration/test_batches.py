"""Many questions in one round trip: each is answered as if it had been asked alone."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator

import pytest
import redis
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st
from support.away import SLOW, Told, calls, forget_calls, wait_until_recovered
from support.clocked import clock, limiter, redis_server_client
from support.core_settings import core_settings
from support.core_strategies import LIMITS, aparts, asks_of, horizons, steps
from support.world import Clock

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import (
    BadLimitError,
    LimiterUnavailableError,
    RatekitError,
    ReservationError,
    StateVersionError,
)
from celery_ratekit.limiter import Ask, Limiter, Reservations
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

__all__ = ["clock", "limiter", "redis_server_client"]

pytestmark = pytest.mark.redis


def granted(answers: list[Reservations | RatekitError]) -> list[int]:
    """How many starts each question was granted; an error fails the test."""
    return [len(good(answer)) for answer in answers]


def good(answer: Reservations | RatekitError) -> Reservations:
    assert isinstance(answer, Reservations), repr(answer)
    return answer


def said(answer: Reservations | RatekitError) -> tuple[object, ...]:
    answer = good(answer)
    return list(answer), answer.wait_seconds, answer.blocked_by, answer.reason, answer.asked_us


questions = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 4), horizons, aparts), min_size=1, max_size=12
)


@pytest.fixture(scope="module")
def pair(redis_server: EmbeddedRedis) -> Iterator[tuple[redis.Redis, Clock, Limiter, Limiter]]:
    clock = Clock()
    one, other = (
        Limiter(redis_server.url, clock=clock, namespace=name, timeout_seconds=20)
        for name in ("together", "alone")
    )
    with redis_server.client() as client:
        yield client, clock, one, other
    one.close()
    other.close()


# A schedule that does not reach far enough is asked for again, after all others of its batch.
DECIDED_AT_ONCE = [kind for kind in LIMITS if kind != "ScheduledBucket"]


@core_settings()
@given(
    calls=asks_of(*DECIDED_AT_ONCE),
    rounds=st.lists(st.tuples(questions, steps), min_size=1, max_size=4),
)
def test_what_is_asked_together_is_answered_as_if_asked_one_after_the_other(
    pair: tuple[redis.Redis, Clock, Limiter, Limiter],
    calls: list[tuple[Limit, ...]],
    rounds: list[tuple[list[tuple[int, int, float, float]], int]],
) -> None:
    client, clock, one, other = pair
    client.flushdb()
    clock.reset()
    for asked, step in rounds:
        asks = [
            Ask(calls[which % len(calls)], count, horizon, apart)
            for which, count, horizon, apart in asked
        ]
        together = one.reserve_many(asks)
        alone = [other.reserve(ask.limits, ask.count, ask.horizon, apart=ask.apart) for ask in asks]
        assert [said(answer) for answer in together] == [said(answer) for answer in alone]
        clock.step(step)


def test_many_questions_are_one_round_trip(redis_url: str, redis_server: EmbeddedRedis) -> None:
    limiter = Limiter(redis_url)
    places = Concurrency("places", 1_000)
    asks = [Ask(TokenBucket("stripe", "1/m", key=user), 2) for user in range(20)]
    asks += [Ask(places)] * 20
    decisions = [good(answer).decision(0) for answer in limiter.reserve_many(asks)[20:]]
    for warm_up in (limiter.extend_many, limiter.release_many):
        warm_up(decisions)  # The scripts are there from now on.
    with redis_server.client() as client:

        def reads() -> int:
            return int(client.info("stats")["total_reads_processed"])

        own = -reads() + reads()
        for together in (
            lambda: limiter.reserve_many(asks),
            lambda: limiter.extend_many(decisions),
            lambda: limiter.release_many(decisions),
            lambda: limiter.refund_many(decisions),
        ):
            before = reads()
            together()
            assert reads() - before - own == 1
    limiter.close()


def test_each_question_has_a_holder_of_its_own(limiter: Limiter) -> None:
    places = Concurrency("places", 3)
    answers = [good(one) for one in limiter.reserve_many([Ask(places)] * 4)]
    assert [len(one) for one in answers] == [1, 1, 1, 0]
    assert len({one.holder for one in answers[:3]}) == 3

    first = answers[0].decision(0)
    limiter.release(first)
    assert limiter.extend_many([one.decision(0) for one in answers[:3]]) == [False, True, True]
    assert limiter.inspect(places)[0].available == 1


def test_a_start_that_was_reserved_alone_gives_its_places_back_through_its_decision(
    limiter: Limiter,
) -> None:
    places = Concurrency("places", 4, cost=2)
    for count in (1, 3):
        reserved = limiter.reserve([places, Concurrency("one", 1)], count)
        assert len(reserved) == 1
        limiter.release(reserved.decision(0))
        assert limiter.inspect(places)[0].available == 4


def test_what_many_calls_took_is_given_back(limiter: Limiter) -> None:
    limits = [TokenBucket("a", "1/d", burst=5), FixedWindow("b", "5/d"), Concurrency("c", 5)]
    answers = limiter.reserve_many([Ask(limits)] * 7)
    assert granted(answers) == [1] * 5 + [0] * 2
    decisions = [good(answer).decision(0) for answer in answers[:5]]

    assert limiter.release_many(decisions[:2]) == [None, None]
    assert [round(one.available, 6) for one in limiter.inspect(limits)] == [0, 0, 2]
    assert limiter.refund_many(decisions[:3]) == [None] * 3
    assert [round(one.available, 6) for one in limiter.inspect(limits)] == [3, 3, 3]


def test_schedules_that_reach_too_short_are_asked_again(limiter: Limiter) -> None:
    monthly = crontab("0", "0", day_of_month="1")
    buckets = [ScheduledBucket(f"bucket {number}", monthly, 1, number + 1) for number in range(5)]
    year = 366 * 86_400.0
    together = limiter.reserve_many([Ask(bucket, 20, 10 * year) for bucket in buckets])
    assert granted(together) == [20] * 5
    for bucket in buckets:
        limiter.reset(bucket)
    alone = [limiter.reserve(bucket, 20, 10 * year) for bucket in buckets]
    assert [list(good(one)) for one in together] == [list(one) for one in alone]


# One bad question spoils no other.


def test_a_question_that_cannot_be_asked_has_its_error_in_its_place(limiter: Limiter) -> None:
    fine = TokenBucket("fine", "1/d", burst=10)
    first, count, unnamed, twice, horizon, paused, free, last = limiter.reserve_many(
        [
            Ask(fine),
            Ask(fine, count=0),
            Ask(TokenBucket(rate="1/s")),
            Ask((fine, fine)),
            Ask(fine, horizon=math.inf),
            Ask((fine, TokenBucket("paused", 0))),
            Ask(TokenBucket("free", "unlimited"), 3),
            Ask(fine),
        ]
    )
    assert granted([first, paused, free, last]) == [1, 0, 3, 1]
    assert good(paused).reason == "paused"
    assert isinstance(count, ReservationError)
    assert isinstance(horizon, ReservationError)
    assert isinstance(unnamed, BadLimitError)
    assert isinstance(twice, BadLimitError)
    assert round(limiter.inspect(fine)[0].available) == 8


def test_a_state_that_redis_refuses_has_its_error_in_its_place(
    redis_url: str, redis_server_client: redis.Redis
) -> None:
    told = Told()
    limiter = Limiter(redis_url, on_degraded=told)
    broken, newer = SlidingWindow("broken", "5/m"), FixedWindow("newer", "5/m")
    redis_server_client.set(limiter.keys.state(broken), "no list")
    redis_server_client.set(limiter.keys.state(newer), struct.pack("<B35x", 2))

    first, refused, unknown, last = limiter.reserve_many([
        Ask(SLOW), Ask(broken), Ask(newer), Ask(SLOW)
    ])  # fmt: skip

    assert granted([first, last]) == [1, 1]
    assert isinstance(refused, LimiterUnavailableError)
    assert isinstance(unknown, StateVersionError)
    assert told.changes == []
    limiter.close()


def test_a_refused_decision_spoils_no_other(
    limiter: Limiter, redis_server_client: redis.Redis
) -> None:
    good_place, bad_place = Concurrency("good", 1), Concurrency("bad", 1)
    decisions = [limiter.acquire(one) for one in (good_place, bad_place, SLOW)]
    redis_server_client.set(limiter.keys.state(bad_place), "no set")

    kept, failed, nothing = limiter.extend_many(decisions)
    assert (kept, nothing) == (True, True)
    assert isinstance(failed, LimiterUnavailableError)
    kept_error, failed_error, _ = limiter.release_many(decisions)
    assert kept_error is None
    assert isinstance(failed_error, LimiterUnavailableError)
    assert limiter.acquire(good_place)


# What the server forgot, or has no room for.


def test_scripts_that_the_server_forgot_are_sent_again_and_nothing_is_charged_twice(
    limiter: Limiter, redis_server_client: redis.Redis
) -> None:
    asks = [Ask(SLOW.with_key(number % 7), 2) for number in range(100)]
    limiter.reserve_many(asks)
    redis_server_client.script_flush()

    answers = limiter.reserve_many(asks)

    assert granted(answers) == [2] * 100
    left = [limiter.inspect(SLOW.with_key(key))[0].available for key in range(7)]
    assert sum(SLOW.burst - one for one in left) == 400


def test_a_thousand_questions_with_long_answers_pass(redis_url: str) -> None:
    limiter = Limiter(redis_url, timeout_seconds=20)
    window = SlidingWindow("many", "10000/h")
    asks = [Ask(window.with_key(number), 1_000) for number in range(1_000)]

    answers = limiter.reserve_many(asks)

    assert granted(answers) == [1_000] * 1_000
    limiter.close()


def test_nothing_asked_is_nothing_answered(limiter: Limiter) -> None:
    assert limiter.reserve_many([]) == []
    assert limiter.extend_many([]) == []
    assert limiter.release_many([]) == []


# While Redis is away.


@pytest.mark.parametrize(
    ("policy", "starts"), [("raise", None), ("wait", 0), ("allow", 2), ("share", 2)]
)
def test_while_redis_is_gone_the_policy_answers_each_question(
    policy: str, starts: int | None, private_redis: EmbeddedRedis
) -> None:
    told = Told()
    limiter = Limiter(private_redis.url, on_failure=policy, on_degraded=told)
    limiter.reserve_many([Ask(SLOW)] * 3)
    private_redis.kill()

    for _ in range(3):
        answers = limiter.reserve_many([Ask(SLOW.with_key(key), 2) for key in range(5)])
        if starts is None:
            assert [type(answer) for answer in answers] == [LimiterUnavailableError] * 5
            assert len(set(map(id, answers))) == 5
        else:
            assert granted(answers) == [starts] * 5
            assert all(good(answer).degraded for answer in answers)
    assert told.changes == [True]

    private_redis.restart()
    wait_until_recovered(limiter)
    assert granted(limiter.reserve_many([Ask(SLOW)] * 3)) == [1] * 3
    assert told.changes == [True, False]
    limiter.close()


def test_a_batch_alone_closes_the_circuit_again(private_redis: EmbeddedRedis) -> None:
    told = Told()
    limiter = Limiter(private_redis.url, on_failure="wait", on_degraded=told)
    private_redis.kill()
    limiter.reserve_many([Ask(SLOW)])
    private_redis.restart()
    until = time.monotonic() + 20
    while not granted(limiter.reserve_many([Ask(SLOW)] * 2))[1]:
        assert time.monotonic() < until
    assert told.changes == [True, False]
    limiter.close()


def test_a_restart_between_two_batches_is_not_noticed(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url)
    limiter.reserve_many([Ask(SLOW)])
    private_redis.restart()
    assert granted(limiter.reserve_many([Ask(SLOW)] * 5)) == [1] * 5
    limiter.close()


def test_a_hang_is_waited_for_once_and_what_was_sent_is_never_sent_again(
    private_redis: EmbeddedRedis,
) -> None:
    timeout = 0.3
    limiter = Limiter(private_redis.url, timeout_seconds=timeout)
    number = 1_000
    limiter.reserve_many([Ask(SLOW)])
    forget_calls(private_redis)
    private_redis.pause()
    begin = time.monotonic()

    answers = limiter.reserve_many([Ask(SLOW, 1) for _ in range(number)])

    assert time.monotonic() - begin < timeout + 1.5
    errors = [answer for answer in answers if isinstance(answer, LimiterUnavailableError)]
    assert len(errors) == number
    sent = sum(error.maybe_charged for error in errors)
    assert 0 < sent < number  # The first piece; nothing more was sent to a server that is silent.
    assert [error.maybe_charged for error in errors] == [True] * sent + [False] * (number - sent)
    private_redis.resume()
    assert wait_until_recovered(limiter).granted
    # Redis may give up on them half-way, since nobody reads its answers any more.
    assert calls(private_redis) <= sent + 1
    limiter.close()


def test_while_the_circuit_is_open_a_batch_asks_nobody(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=0.2)
    limiter.acquire(SLOW)
    private_redis.pause()
    with pytest.raises(LimiterUnavailableError):
        limiter.acquire(SLOW)
    answers = limiter.reserve_many([Ask(SLOW)] * 3)
    private_redis.resume()
    assert all("was not asked" in str(answer) for answer in answers)
    limiter.close()


def test_a_full_server_refuses_each_question_that_has_to_be_written(
    private_redis: EmbeddedRedis,
) -> None:
    told = Told()
    limiter = Limiter(private_redis.url, on_degraded=told)
    empty = TokenBucket("empty", "1/d")
    limiter.acquire(empty)
    with private_redis.client() as client:
        client.config_set("maxmemory", 1)
        refused, denied, also_refused = limiter.reserve_many([Ask(SLOW), Ask(empty), Ask(SLOW)])
        assert isinstance(refused, LimiterUnavailableError)
        assert isinstance(also_refused, LimiterUnavailableError)
        assert not refused.maybe_charged
        assert granted([denied]) == [0]
        assert told.changes == [True]
        client.config_set("maxmemory", 0)
    assert wait_until_recovered(limiter).granted
    assert limiter.inspect(SLOW)[0].available == pytest.approx(SLOW.burst - 1, abs=0.01)
    limiter.close()


def test_a_replica_refuses_the_batch_and_is_asked_no_more_than_twice(
    private_redis: EmbeddedRedis,
) -> None:
    limiter = Limiter(private_redis.url)
    limiter.acquire(SLOW)
    forget_calls(private_redis)
    with private_redis.client() as client:
        client.replicaof("127.0.0.1", "1")
        answers = limiter.reserve_many([Ask(SLOW)] * 10)
        client.replicaof("no", "one")
    assert [type(answer) for answer in answers] == [LimiterUnavailableError] * 10
    assert calls(private_redis) <= 20
    limiter.close()
