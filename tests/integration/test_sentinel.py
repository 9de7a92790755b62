"""Behind Sentinels a limiter follows the master, also when it changes in mid-use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import redis
from redis.sentinel import Sentinel
from support.away import SLOW, Told, wait_until_recovered

from celery_ratekit.embedded import EmbeddedRedis, EmbeddedSentinel
from celery_ratekit.embedded.ports import LOOPBACK
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter

pytestmark = pytest.mark.sentinel

DEADLINE = 30.0


def from_url(sentinel: EmbeddedSentinel, **options: Any) -> Limiter:
    """A limiter from Celery's own form of the address."""
    url = f"{sentinel.celery_url}?master_name={quote(sentinel.service_name)}"
    return Limiter(
        url, redis_options={"sentinel_kwargs": {"password": sentinel.password}}, **options
    )


def from_client(sentinel: EmbeddedSentinel, **options: Any) -> Limiter:
    """A limiter from redis-py's client, which repeats what fails ten times or more."""
    return Limiter(sentinel.client(), **options)


MAKERS = {"address": from_url, "client": from_client}


@pytest.fixture(scope="module")
def lonely(redis_executable: str) -> Iterator[EmbeddedSentinel]:
    """A master without replicas, so that nothing ever takes its place, and two Sentinels."""
    with EmbeddedSentinel(0, 2, executable=redis_executable) as servers:
        yield servers


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(params=MAKERS)
def limiter(
    request: pytest.FixtureRequest, sentinel: EmbeddedSentinel, told: Told
) -> Iterator[Limiter]:
    sentinel.wait_until_complete()
    one = MAKERS[request.param](sentinel, on_failure="wait", on_degraded=told)
    one.reset(SLOW)
    yield one
    one.close()


def master_runs(sentinel: EmbeddedSentinel, server: EmbeddedRedis) -> bool:
    return sentinel.master_address == (LOOPBACK, server.port)


def test_the_master_is_asked(limiter: Limiter, sentinel: EmbeddedSentinel) -> None:
    assert limiter.acquire(SLOW).granted

    with sentinel.master.client() as client:
        assert client.exists(limiter.keys.state(SLOW)) == 1


def test_a_failover_in_mid_use_is_followed_and_no_refusal_is_an_answer(
    sentinel: EmbeddedSentinel,
) -> None:
    """Threads go on asking; the demoted master says READONLY, which nobody gets to see."""
    sentinel.wait_until_complete()
    limiters = [make(sentinel) for make in MAKERS.values()]
    old = sentinel.master
    over = threading.Event()
    failures: list[LimiterUnavailableError] = []

    def ask(limiter: Limiter) -> None:
        while not over.is_set():
            try:
                limiter.acquire(SLOW.with_name("mid-use"))
            except LimiterUnavailableError as error:
                failures.append(error)

    threads = [threading.Thread(target=ask, args=(limiter,)) for limiter in limiters]
    for thread in threads:
        thread.start()
    try:
        sentinel.failover()
        sentinel.wait_until_complete()  # the old master has been told
        answers = [wait_until_recovered(limiter, SLOW) for limiter in limiters]
    finally:
        over.set()
        for thread in threads:
            thread.join(20)

    assert all(answer.granted for answer in answers)
    assert not master_runs(sentinel, old)
    assert not any("READONLY" in str(error) for error in failures if error.maybe_charged)
    with sentinel.master.client() as client:
        assert client.exists(limiters[0].keys.state(SLOW)) == 1
    for limiter in limiters:
        limiter.close()


@pytest.mark.parametrize("maker", MAKERS)
def test_a_demoted_master_is_left_for_the_new_one_without_a_failed_answer(
    maker: str, sentinel: EmbeddedSentinel
) -> None:
    told = Told()
    sentinel.wait_until_complete()
    limiter = MAKERS[maker](sentinel, timeout_seconds=5, on_degraded=told)
    limiter.acquire(SLOW)
    with sentinel.master.client() as client:
        mine = {one["id"] for one in client.client_list(_type="normal")}
        assert len(mine) >= 2
    sentinel.failover()
    sentinel.wait_until_complete()

    for _ in range(5):
        assert limiter.acquire(SLOW).granted

    with sentinel.master.client() as client:
        assert client.exists(limiter.keys.state(SLOW)) == 1
    assert told.changes == []
    limiter.close()


def test_a_dead_master_is_replaced_without_a_new_limiter(
    limiter: Limiter, sentinel: EmbeddedSentinel, told: Told
) -> None:
    limiter.acquire(SLOW)
    dead = sentinel.master
    old = sentinel.kill_master()
    try:
        assert limiter.acquire(SLOW).degraded
        sentinel.wait_for_new_master(old)

        assert wait_until_recovered(limiter).granted
        assert told.changes == [True, False]
    finally:
        dead.restart()
        sentinel.wait_until_complete()


@pytest.mark.parametrize("maker", MAKERS)
def test_sentinels_that_do_not_answer_are_asked_once(maker: str, lonely: EmbeddedSentinel) -> None:
    limiter = MAKERS[maker](lonely, timeout_seconds=0.3)
    for node in lonely.sentinel_nodes:
        node.pause()
    begin = time.monotonic()
    try:
        with pytest.raises(LimiterUnavailableError) as caught:
            limiter.acquire(SLOW)
    finally:
        for node in lonely.sentinel_nodes:
            node.resume()

    # One time-out for each of the two; ten tries would take twenty, and pauses between them.
    assert time.monotonic() - begin < 3
    assert not caught.value.maybe_charged
    assert wait_until_recovered(limiter).granted
    limiter.close()


@pytest.mark.parametrize("maker", MAKERS)
def test_a_master_that_refuses_to_write_while_nobody_takes_over_has_charged_nothing(
    maker: str, lonely: EmbeddedSentinel
) -> None:
    limiter = MAKERS[maker](lonely)
    limiter.acquire(SLOW)
    with lonely.master.client() as client:
        client.replicaof(LOOPBACK, "1")
        try:
            with pytest.raises(LimiterUnavailableError) as caught:
                limiter.acquire(SLOW)
        finally:
            client.replicaof("no", "one")

    assert "read only" in str(caught.value)
    assert not caught.value.maybe_charged
    assert wait_until_recovered(limiter).granted
    limiter.close()


def test_one_sentinel_that_answers_is_enough(sentinel: EmbeddedSentinel) -> None:
    manager = Sentinel(
        [("127.0.0.1", 1), *sentinel.sentinels],
        sentinel_kwargs={"password": sentinel.password},
        password=sentinel.password,
    )
    client: redis.Redis = manager.master_for(sentinel.service_name)
    limiter = Limiter(client)

    assert limiter.acquire(SLOW).granted
    limiter.close()


def test_a_name_that_no_sentinel_knows_is_an_answer_of_its_own(
    sentinel: EmbeddedSentinel,
) -> None:
    limiter = Limiter(sentinel.manager().master_for("nobody"))

    with pytest.raises(LimiterUnavailableError, match="nobody"):
        limiter.acquire(SLOW)
