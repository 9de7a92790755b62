"""A Redis that answers and refuses: read-only, full, loading, without room, wrong password."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from support.away import (
    SLOW,
    Told,
    calls,
    configured,
    forget_calls,
    wait_until_recovered,
)

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import SlidingWindow, TokenBucket

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module", params=["redis_executable", "redis62_executable"])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    """A server of this module's own, of either version."""
    executable = request.getfixturevalue(request.param)
    with EmbeddedRedis(tcp=True, executable=executable) as one:
        yield one


@pytest.fixture(autouse=True)
def _empty(server: EmbeddedRedis) -> None:
    with server.client() as client:
        client.flushall()
        client.script_flush()


@contextmanager
def replica_of_nobody(server: EmbeddedRedis) -> Iterator[None]:
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")
        yield
        client.replicaof("no", "one")


@contextmanager
def no_room_for_clients(server: EmbeddedRedis) -> Iterator[None]:
    with configured(server, maxclients=1) as client:
        client.client_kill_filter(skipme=True)
        yield


REFUSALS: dict[str, Callable[[EmbeddedRedis], AbstractContextManager[object]]] = {
    "read-only": replica_of_nobody,
    "without replicas": lambda server: configured(server, min_replicas_to_write=1),
    "out of memory": lambda server: configured(server, maxmemory=1),
    "no room": no_room_for_clients,
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_it_is_asked_once_charges_nothing_and_recovers(refusal: str, server: EmbeddedRedis) -> None:
    told = Told()
    limiter = Limiter(server.url, on_degraded=told)
    limiter.acquire(SLOW)

    with REFUSALS[refusal](server):
        for attempt in range(20):
            with pytest.raises(LimiterUnavailableError) as caught:
                limiter.acquire(SLOW)
            # Where connections are closed, the first question cannot know whether it arrived.
            assert not caught.value.maybe_charged or (refusal == "no room" and attempt == 0)
        assert told.changes == [True]

    wait_until_recovered(limiter)
    assert told.changes == [True, False]
    assert limiter.inspect(SLOW)[0].available == pytest.approx(SLOW.burst - 2, abs=0.01)
    limiter.close()


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(("policy", "granted"), [("wait", False), ("allow", True), ("share", True)])
def test_each_policy_gives_its_answer(
    refusal: str, policy: str, granted: bool, server: EmbeddedRedis
) -> None:
    limiter = Limiter(server.url, on_failure=policy)
    with REFUSALS[refusal](server):
        decision = limiter.acquire(SLOW)
        assert (decision.granted, decision.degraded) == (granted, True)
        reserved = limiter.reserve(SLOW, 3)
        assert (len(reserved), reserved.degraded) == (3 * granted, True)
    assert not wait_until_recovered(limiter).degraded
    limiter.close()


def test_a_read_only_server_is_asked_no_more_than_twice(server: EmbeddedRedis) -> None:
    limiter = Limiter(server.url)
    limiter.acquire(SLOW)
    forget_calls(server)

    with replica_of_nobody(server), pytest.raises(LimiterUnavailableError):
        limiter.acquire(SLOW)  # once more, because another master may stand behind the address

    assert calls(server) <= 2
    limiter.close()


def test_a_full_server_that_can_still_say_no_is_not_told_as_recovered(
    server: EmbeddedRedis,
) -> None:
    told = Told()
    limiter = Limiter(server.url, on_failure="wait", on_degraded=told)
    empty = TokenBucket("empty", "1/d", burst=1)
    limiter.acquire(empty)
    limiter.acquire(SLOW)

    with configured(server, maxmemory=1):
        for _ in range(5):
            limiter.acquire(SLOW)  # may not be written
            wait_for_own_answer(limiter, empty)  # need not be written

        assert told.changes == [True]
    wait_until_recovered(limiter)
    assert told.changes == [True, False]
    limiter.close()


def wait_for_own_answer(limiter: Limiter, limit: TokenBucket) -> None:
    assert not wait_until_recovered(limiter, limit).granted


@pytest.mark.parametrize("policy", ["raise", "wait", "allow", "share"])
def test_a_question_that_cannot_be_answered_does_not_stop_the_others(
    policy: str, server: EmbeddedRedis
) -> None:
    told = Told()
    limiter = Limiter(server.url, on_failure=policy, on_degraded=told)
    broken = SlidingWindow("broken", "5/m")
    with server.client() as client:
        client.set(limiter.keys.state(broken), "no list")

    for _ in range(3):
        if policy == "raise":
            with pytest.raises(LimiterUnavailableError, match="nothing was charged"):
                limiter.acquire(broken)
        else:
            assert limiter.acquire(broken).degraded
        assert limiter.acquire(SLOW).granted
        assert not limiter.acquire(SLOW).degraded
    assert told.changes == []
    limiter.close()


def test_a_flush_of_data_and_scripts_begins_anew_without_a_failure(
    server: EmbeddedRedis,
) -> None:
    told = Told()
    limiter = Limiter(server.url, on_degraded=told)
    limiter.acquire(SLOW.with_cost(400))
    decision = limiter.acquire(SLOW)
    reservation = limiter.reserve(TokenBucket("later", "1/s"), owner="me").id

    steps: dict[str, Callable[[], object]] = {
        "acquire": lambda: limiter.acquire(SLOW).granted,
        "reserve": lambda: len(limiter.reserve(SLOW, 3)) == 3,
        "inspect": lambda: limiter.inspect(SLOW),
        "refund": lambda: limiter.refund(decision),
        "settle": lambda: limiter.settle(decision, 3),
        "freeze": lambda: limiter.freeze(SLOW, 5) == 5,
        "redeem": lambda: not limiter.redeem(reservation, "me", SLOW, 0).used,
        "reset": lambda: limiter.reset(SLOW),
    }
    for name, step in steps.items():
        with server.client() as client:
            client.flushall()
            client.script_flush()
        assert step() in (True, None) or name == "inspect"
    assert told.changes == []
    limiter.close()


def test_a_wrong_password_is_refused_at_once_and_not_shown(server: EmbeddedRedis) -> None:
    told = Told()
    right = f":{server.password}@"
    wrong = "not-the-password-at-all"
    limiter = Limiter(server.url.replace(right, f":{wrong}@"), on_degraded=told)

    with pytest.raises(LimiterUnavailableError) as caught:
        limiter.acquire(SLOW)

    assert not caught.value.maybe_charged
    for shown in (str(caught.value), repr(caught.value.__cause__)):
        assert wrong not in shown
        assert server.password not in shown
    with configured(server, requirepass=wrong) as client:
        assert wait_until_recovered(limiter).granted
        client.connection_pool.connection_kwargs["password"] = wrong
    assert told.changes == [True, False]
    limiter.close()
