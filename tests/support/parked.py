"""What waits in the backlog of a test's Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from celery import Celery
from end_to_end.apps.gate import sender
from support.journal import not_yet
from support.workers import Setup

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.limiter.breaker import Degradation
from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limiter.transport import transport_for

__all__ = [
    "app",
    "backlog",
    "backlog_keys",
    "backlog_of",
    "wait_until_drained",
    "wait_until_parked",
]

NAMESPACE = "ratekit"


@contextmanager
def backlog_of(url: str, namespace: str = NAMESPACE) -> Iterator[Backlog]:
    """The backlog that workers keep in a Redis."""
    transport = transport_for(url, 2.0, Degradation())
    try:
        yield Backlog(transport, KeySpace(namespace))
    finally:
        transport.close()


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    """Sends tasks to the workers of the module's ``setup``."""
    with sender(setup) as app:
        yield app


@pytest.fixture
def backlog(private_redis: EmbeddedRedis) -> Iterator[Backlog]:
    """What waits in the Redis that is the test's own."""
    with backlog_of(private_redis.url) as backlog:
        yield backlog


def wait_until_parked(backlog: Backlog, queue: str, count: int, timeout: float = 60) -> None:
    """Waits until so many entries wait in a queue's backlog, and none is claimed."""

    def check() -> None:
        sizes = backlog.sizes(queue)
        not_yet(missing=(sizes.waiting, sizes.claimed) != (count, 0), what=str(sizes))

    wait_for("tasks in the backlog", check, timeout=timeout)


def wait_until_drained(backlog: Backlog, queue: str, timeout: float = 60) -> None:
    """Waits until nothing is left of a queue's backlog."""
    wait_until_parked(backlog, queue, 0, timeout)


def backlog_keys(client: redis.Redis) -> list[bytes]:
    """The keys that a backlog left, whatever they hold."""
    keys: list[bytes] = [*client.scan_iter(f"{NAMESPACE}:b*", 1_000)]
    keys += client.scan_iter(f"{NAMESPACE}:q*", 1_000)
    return keys
