"""What wakes a dispatcher: something that was submitted or changed, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from support.throttled import close, throttle_on

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.throttle import CeleryThrottle
from celery_ratekit.throttle.dispatch.listening import Listener

pytestmark = pytest.mark.redis

LONG_SECONDS = 30.0


@pytest.fixture
def throttle(private_redis: EmbeddedRedis) -> Iterator[CeleryThrottle]:
    throttle = throttle_on(private_redis.url)
    yield throttle
    close(throttle)


@pytest.fixture
def listener(throttle: CeleryThrottle) -> Iterator[Listener]:
    with Listener(throttle) as listener:
        # The first that it hears is that it listens: what was told before is to be looked for.
        assert listener.wait(LONG_SECONDS) == set()
        yield listener


def tell(throttle: CeleryThrottle, *names: str) -> None:
    throttle.runtime.limiter.overrides.tell(names)


def wait_until_it_listens(listener: Listener) -> None:
    """Waits until it says that it listens again, so that what was told before is looked for."""
    end = time.monotonic() + LONG_SECONDS
    while listener.wait(0.1) is None:
        assert time.monotonic() < end, "it does not listen"


def wait_for_name(listener: Listener, name: str) -> None:
    """Waits until it hears of a limit; whatever else it hears is fine."""
    end = time.monotonic() + LONG_SECONDS
    while name not in (listener.wait(0.1) or ()):
        assert time.monotonic() < end, "nothing was heard"


def test_it_hears_which_limits_something_was_told_of(
    throttle: CeleryThrottle, listener: Listener
) -> None:
    tell(throttle, "throttle/a")
    tell(throttle, "throttle/b")
    heard: set[str] = set()
    while heard != {"throttle/a", "throttle/b"}:
        told = listener.wait(LONG_SECONDS)
        assert told is not None
        heard |= told


def test_it_sleeps_as_long_as_it_may_where_nothing_is_told(listener: Listener) -> None:
    begin = time.monotonic()
    assert listener.wait(0.3) is None
    assert time.monotonic() - begin >= 0.3


def test_it_can_be_woken_from_elsewhere(listener: Listener) -> None:
    threading.Timer(0.1, listener.wake).start()
    begin = time.monotonic()
    assert listener.wait(LONG_SECONDS) is None
    assert time.monotonic() - begin < LONG_SECONDS


def test_it_hears_again_after_its_connection_was_lost(
    throttle: CeleryThrottle, listener: Listener
) -> None:
    for _ in range(2):
        assert throttle.redis.client_kill_filter(_type="pubsub") == 1
        # It notices by itself, and does not sleep on without a connection.
        assert listener.wait(LONG_SECONDS) == set()
        begin = time.monotonic()
        while listener.wait(2 * LONG_SECONDS) is None:
            assert time.monotonic() - begin < LONG_SECONDS
        tell(throttle, "throttle/a")
        wait_for_name(listener, "throttle/a")


def test_it_outlives_a_redis_that_is_away(
    throttle: CeleryThrottle, listener: Listener, private_redis: EmbeddedRedis
) -> None:
    private_redis.kill()
    assert listener.wait(LONG_SECONDS) == set()
    for _ in range(3):
        assert listener.wait(0.5) is None
    private_redis.restart()
    wait_until_it_listens(listener)
    tell(throttle, "throttle/a")
    wait_for_name(listener, "throttle/a")
