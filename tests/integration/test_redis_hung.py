"""A Redis that hangs is asked once: within the time-out, and not again before a pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from support.away import SLOW, Told, calls, forget_calls, wait_for_calls, wait_until_recovered
from support.silent import SilentServer

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter

pytestmark = pytest.mark.redis

TIMEOUT = 0.3
SLACK = 1.5  # of a busy machine; eleven tries would take 3.3 s and the pauses between them


@pytest.fixture
def hung(private_redis: EmbeddedRedis) -> Iterator[EmbeddedRedis]:
    yield private_redis
    private_redis.resume()


def test_a_hang_longer_than_the_timeout_is_answered_once_and_charged_once(
    hung: EmbeddedRedis,
) -> None:
    limiter = Limiter(hung.url, timeout_seconds=TIMEOUT)
    limiter.acquire(SLOW)
    forget_calls(hung)
    hung.pause()

    begin = time.monotonic()
    with pytest.raises(LimiterUnavailableError) as caught:
        limiter.acquire(SLOW)
    took = time.monotonic() - begin

    assert TIMEOUT * 0.9 <= took < TIMEOUT + SLACK
    assert caught.value.maybe_charged is True
    hung.resume()
    wait_for_calls(hung, 1)  # what was sent is carried out late, and it was sent once
    assert wait_until_recovered(limiter).granted
    assert calls(hung) == 2
    assert limiter.inspect(SLOW)[0].available == pytest.approx(SLOW.burst - 3, abs=0.01)


def test_a_hang_shorter_than_the_timeout_is_only_waited_for(hung: EmbeddedRedis) -> None:
    told = Told()
    limiter = Limiter(hung.url, timeout_seconds=20, on_degraded=told)
    limiter.acquire(SLOW)
    forget_calls(hung)
    hung.pause()
    timer = threading.Timer(0.4, hung.resume)
    timer.start()

    assert limiter.acquire(SLOW).granted

    timer.join()
    assert calls(hung) == 1
    assert told.changes == []


def test_a_hang_before_anything_was_sent_charges_nothing(hung: EmbeddedRedis) -> None:
    limiter = Limiter(hung.url_for(1), timeout_seconds=TIMEOUT)  # SELECT is sent first
    forget_calls(hung)
    hung.pause()

    with pytest.raises(LimiterUnavailableError) as caught:
        limiter.acquire(SLOW)

    assert caught.value.maybe_charged is False
    hung.resume()
    wait_until_recovered(limiter)
    assert calls(hung) <= 2  # NOSCRIPT and its repetition, or one if the script was there


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


@pytest.mark.parametrize("policy", ["wait", "allow", "share"])
def test_while_the_circuit_is_open_nobody_is_asked(policy: str, silent: SilentServer) -> None:
    told = Told()
    limiter = Limiter(silent.url, timeout_seconds=0.05, on_failure=policy, on_degraded=told)
    begin = time.monotonic()

    for _ in range(500):
        assert limiter.acquire(SLOW).degraded

    # Tries after 0.1, 0.2, 0.4, 0.8, 1.6 s and then each 2 s, whatever the number of questions.
    possible = 1 + next(n for n in range(1_000) if 0.1 * (2**n - 1) > time.monotonic() - begin)
    assert 1 <= silent.connections <= possible
    assert told.changes == [True]


def test_only_one_thread_at_a_time_waits_for_a_server_that_does_not_answer(
    silent: SilentServer,
) -> None:
    limiter = Limiter(silent.url, timeout_seconds=1, on_failure="wait")
    limiter.acquire(SLOW)
    silent.wait_for_connection()

    def ask_until_sent() -> None:
        while silent.connections < 2:
            limiter.acquire(SLOW)

    probing = threading.Thread(target=ask_until_sent)
    probing.start()
    silent.wait_for_connection()  # the probe is under way, and has a second to go
    for _ in range(50):
        assert limiter.acquire(SLOW).degraded

    assert silent.connections == 2
    probing.join(20)
