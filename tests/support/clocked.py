"""The fixtures that give a test a limiter on a clock that it sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter

from .world import Clock

HOUR = 3_600_000_000  # us


@pytest.fixture
def clock() -> Clock:
    """Stands at a full hour."""
    return Clock()


@pytest.fixture
def limiter(redis_url: str, clock: Clock) -> Iterator[Limiter]:
    """Asks an empty Redis, by the test's clock."""
    with_clock = Limiter(redis_url, clock=clock, timeout_seconds=20)
    yield with_clock
    with_clock.close()


@pytest.fixture
def redis_server_client(redis_server: EmbeddedRedis, redis_url: str) -> Iterator[redis.Redis]:
    """Looks at the Redis that the limiter asks."""
    with redis_server.client() as client:
        yield client
