"""The fixture that gives tests of the core a limiter beside its model, both on one test clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Limit

from .world import Clock, World

Build = Callable[[Sequence[tuple[Limit, ...]]], World]


@pytest.fixture(scope="module")
def build(redis_server: EmbeddedRedis) -> Iterator[Build]:
    """Makes a new world, with nothing in Redis, for the limits of some calls."""
    clock = Clock()
    limiter = Limiter(redis_server.url, clock=clock, timeout_seconds=20)
    with redis_server.client() as client:
        yield lambda asks: World(client, limiter, clock, asks)
    limiter.close()
