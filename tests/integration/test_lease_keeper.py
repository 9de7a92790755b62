"""Places stay with their calls for as long as those run, whether Redis is there or not."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import pytest
import redis

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.errors import LimiterUnavailableError, ReservationError
from celery_ratekit.limiter import LeaseKeeper, Limiter, leases
from celery_ratekit.limiter.decision import Decision
from celery_ratekit.limits import Concurrency, TokenBucket

pytestmark = pytest.mark.redis

LEASE = 2.0
PLACES = Concurrency("database", 3, lease_seconds=LEASE)
TIMEOUT = 0.3
SLACK = 1.5  # of a busy machine


@pytest.fixture
def server(private_redis: EmbeddedRedis) -> Iterator[EmbeddedRedis]:
    yield private_redis
    if private_redis.alive:
        private_redis.resume()


@pytest.fixture
def limiter(server: EmbeddedRedis) -> Iterator[Limiter]:
    one = Limiter(server.url, timeout_seconds=TIMEOUT)
    yield one
    one.close()


@pytest.fixture
def keeper(limiter: Limiter) -> Iterator[LeaseKeeper]:
    one = LeaseKeeper(limiter)
    yield one
    one.close()


def take(limiter: Limiter, limit: Concurrency = PLACES) -> Decision:
    decision = limiter.acquire(limit)
    assert decision.granted
    return decision


def free(limiter: Limiter, limit: Concurrency = PLACES) -> float:
    return limiter.inspect(limit)[0].available


def wait_until(what: str, is_so: Callable[[], bool], timeout: float = 20) -> None:
    def check() -> None:
        try:
            done = is_so()
        except LimiterUnavailableError as error:
            raise NotYetError(str(error)) from error
        if not done:
            raise NotYetError("it is not so")

    wait_for(what, check, timeout=timeout)


def lease_ends(server: EmbeddedRedis, limiter: Limiter, limit: Concurrency = PLACES) -> list[float]:
    with server.client() as client:
        members = client.zrange(limiter.keys.state(limit), 0, -1, withscores=True)
    return [score for _, score in members]


def keeper_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "ratekit-leases"]


def test_all_kept_leases_go_on_from_one_thread(
    server: EmbeddedRedis, limiter: Limiter, keeper: LeaseKeeper
) -> None:
    decisions = [take(limiter) for _ in range(3)]
    taken_until = max(lease_ends(server, limiter))
    for decision in decisions:
        keeper.keep(decision)

    assert len(keeper_threads()) == 1
    # Beyond the lease that they were granted with, whose end nobody would have noticed.
    wait_until(
        "two extensions of each",
        lambda: min(lease_ends(server, limiter)) > taken_until + 0.9e6,
    )
    assert not limiter.acquire(PLACES)
    keeper.give_back(*decisions)
    assert free(limiter) == 3


def test_what_is_given_back_is_free_at_once_and_twice_does_no_harm(
    limiter: Limiter, keeper: LeaseKeeper
) -> None:
    first, second = take(limiter), take(limiter)
    for decision in (first, second):
        keeper.keep(decision)
    keeper.give_back(first)
    keeper.give_back(first)
    assert free(limiter) == 2
    assert limiter.extend(second)


def test_places_that_were_never_kept_are_given_back_too(
    limiter: Limiter, keeper: LeaseKeeper
) -> None:
    keeper.give_back(take(limiter))
    assert free(limiter) == 3
    assert not keeper_threads()


def test_calls_without_places_need_no_thread(limiter: Limiter, keeper: LeaseKeeper) -> None:
    for decision in (
        limiter.acquire(TokenBucket("bucket", "1/s")),
        Decision(True, (PLACES,), degraded=True),
        Decision(False, (PLACES,), 1.0, PLACES, "busy"),
    ):
        keeper.keep(decision)
        keeper.give_back(decision)
    assert not keeper_threads()


def test_calls_that_hold_their_places_together_are_refused(
    limiter: Limiter, keeper: LeaseKeeper
) -> None:
    both = limiter.reserve(PLACES, 2)
    with pytest.raises(ReservationError, match="one by one"):
        keeper.keep(both.decision(0))
    keeper.keep(limiter.reserve(PLACES, 1).decision(0))


def test_the_thread_ends_when_nothing_was_kept_for_a_while(
    limiter: Limiter, keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "IDLE_SECONDS", 0.01)
    for _ in range(3):
        decision = take(limiter)
        keeper.keep(decision)
        assert len(keeper_threads()) == 1
        keeper.give_back(decision)
        wait_until("end of the thread", lambda: not keeper_threads())


def test_a_closed_keeper_keeps_nothing_and_can_be_used_again(
    server: EmbeddedRedis, limiter: Limiter, keeper: LeaseKeeper
) -> None:
    keeper.keep(take(limiter))
    keeper.close()
    wait_until("end of the thread", lambda: not keeper_threads())
    wait_until("end of the lease", lambda: free(limiter) == 3)
    keeper.keep(take(limiter))
    assert len(keeper_threads()) == 1


def test_a_place_that_was_lost_is_told_once_and_never_taken_again(
    server: EmbeddedRedis,
    limiter: Limiter,
    keeper: LeaseKeeper,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost, kept = take(limiter), take(limiter)
    other = Concurrency("other", 1, lease_seconds=LEASE)
    lost = Decision(True, (PLACES,), holder=lost.holder)
    limiter.release(lost)
    keeper.keep(lost)
    keeper.keep(kept)
    keeper.keep(take(limiter, other))

    wait_until("warning", lambda: "was lost" in caplog.text)
    ends = lease_ends(server, limiter)
    wait_until("another round", lambda: lease_ends(server, limiter) > ends)
    assert caplog.text.count("was lost") == 1
    assert "'database'" in caplog.text
    assert free(limiter) == 2
    assert free(limiter, other) == 0


# While Redis is away.


def test_a_redis_that_hangs_and_comes_back_still_has_the_places(
    server: EmbeddedRedis,
    limiter: Limiter,
    keeper: LeaseKeeper,
    caplog: pytest.LogCaptureFixture,
) -> None:
    places = Concurrency("longer", 1, lease_seconds=8)
    decision = take(limiter, places)
    keeper.keep(decision)
    server.pause()
    wait_until("warning", lambda: "cannot be extended" in caplog.text)
    server.resume()
    ends = lease_ends(server, limiter, places)
    wait_until("extension", lambda: lease_ends(server, limiter, places) > ends)
    assert limiter.extend(decision)
    assert [one.levelno for one in caplog.records].count(logging.WARNING) == 1


def test_giving_back_to_a_hung_redis_takes_one_timeout_and_is_made_up_for(
    server: EmbeddedRedis, limiter: Limiter, keeper: LeaseKeeper
) -> None:
    places = Concurrency("long", 3, lease_seconds=3_600)
    decisions = [take(limiter, places) for _ in range(3)]
    for decision in decisions:
        keeper.keep(decision)
    server.pause()
    begin = time.monotonic()
    keeper.give_back(decisions[0])
    assert time.monotonic() - begin < TIMEOUT + SLACK
    begin = time.monotonic()
    keeper.give_back(*decisions[1:])
    keeper.give_back(*decisions[1:])
    assert time.monotonic() - begin < TIMEOUT + SLACK

    server.resume()

    wait_until("places given back", lambda: free(limiter, places) == 3)


def test_giving_back_to_a_redis_that_is_gone_raises_nothing(
    server: EmbeddedRedis,
    limiter: Limiter,
    keeper: LeaseKeeper,
    caplog: pytest.LogCaptureFixture,
) -> None:
    decisions = [take(limiter) for _ in range(3)]
    for decision in decisions:
        keeper.keep(decision)
    server.kill()
    for decision in decisions:
        keeper.give_back(decision)
    assert caplog.text.count("given back") == 1
    server.restart()
    wait_until("answer with free places", lambda: free(limiter) == 3)


def test_after_a_restart_without_its_data_the_keeper_says_so_and_goes_on(
    server: EmbeddedRedis,
    limiter: Limiter,
    keeper: LeaseKeeper,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper.keep(take(limiter))
    server.kill()
    server.restart()
    wait_until("warning", lambda: "was lost" in caplog.text)
    fresh = take(limiter)
    keeper.keep(fresh)
    ends = lease_ends(server, limiter)
    wait_until("extension", lambda: lease_ends(server, limiter) > ends)
    keeper.give_back(fresh)
    assert free(limiter) == 3


def test_what_is_owed_is_given_back_when_the_keeper_is_closed(
    server: EmbeddedRedis, limiter: Limiter
) -> None:
    keeper = LeaseKeeper(limiter)
    places = Concurrency("long", 3, lease_seconds=3_600)
    decision = take(limiter, places)
    with server.client() as client:
        state = limiter.keys.state(places)
        member, score = client.zrange(state, 0, -1, withscores=True)[0]
        client.delete(state)
        client.set(state, "no set")  # So that the place cannot be given back.
        keeper.give_back(decision)
        client.delete(state)
        client.zadd(state, {member: score})
    keeper.close()
    wait_until("place given back", lambda: free(limiter, places) == 3)


# Forks.


def _child(keeper: LeaseKeeper, limiter: Limiter, pipe: Connection) -> None:
    threads = len(keeper_threads())
    own = limiter.acquire(PLACES)
    keeper.keep(own)
    pipe.send((threads, len(keeper_threads()), own.granted))
    pipe.recv()
    keeper.give_back(own)
    pipe.send(free(limiter))


def test_a_forked_child_keeps_nothing_of_its_parents_and_has_a_thread_of_its_own(
    server: EmbeddedRedis, limiter: Limiter, keeper: LeaseKeeper
) -> None:
    decision = take(limiter)
    keeper.keep(decision)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(keeper, limiter, theirs))
    process.start()
    assert ours.poll(20)
    assert ours.recv() == (0, 1, True)

    keeper.give_back(decision)
    ends = lease_ends(server, limiter)
    assert len(ends) == 1
    wait_until("the child's extension", lambda: lease_ends(server, limiter) > ends)
    ours.send("end")
    assert ours.poll(20)
    assert ours.recv() == 3
    process.join(20)
    assert process.exitcode == 0


def test_places_of_a_killed_process_come_back_when_their_lease_ends(
    server: EmbeddedRedis, limiter: Limiter, keeper: LeaseKeeper
) -> None:
    keeper.keep(take(limiter))
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(keeper, limiter, theirs))
    process.start()
    assert ours.poll(20)
    ours.recv()
    assert free(limiter) == 1
    process.kill()
    process.join(20)
    wait_until("end of the lease", lambda: free(limiter) == 2)
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
