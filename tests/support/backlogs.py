"""Backlogs on a clock that the test sets, and short ways to put messages into them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from celery_ratekit.backlog import Backlog, Claimed, Group, Parking
from celery_ratekit.backlog.ids import raw, text
from celery_ratekit.limiter.breaker import Degradation
from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limiter.transport import Transport, transport_for
from celery_ratekit.limits import Limit, TokenBucket

from .world import Clock

KEYS = KeySpace("test")


def connect(url: str) -> Transport:
    return transport_for(url, 20, Degradation())


@pytest.fixture
def clock() -> Clock:
    """Stands at a full hour."""
    return Clock()


@pytest.fixture
def backlog(redis_url: str, clock: Clock) -> Iterator[Backlog]:
    """Works on an empty Redis, by the test's clock."""
    transport = connect(redis_url)
    yield Backlog(transport, KEYS, clock=clock)
    transport.close()


def user(key: str = "", name: str = "api") -> TokenBucket:
    return TokenBucket(name, "1/s", key=key)


def parking(
    name: str,
    limits: Limit | tuple[Limit, ...] | None = None,
    *,
    queue: str = "q",
    task: str = "send",
    **options: Any,
) -> Parking:
    """A message of its own under some limits, of which the first said no."""
    limits = limits if isinstance(limits, tuple) else (limits or user(),)
    defaults = {
        "task_id": str(uuid.uuid5(uuid.NAMESPACE_URL, raw(name).hex())),
        "identity": identity(name),
        "may_be_stored": True,
        "rank": 0,
        "message": raw(name),
        "blocked_by": limits[0],
        "wait_seconds": 0,
    }
    return Parking(group=Group(queue, task, limits), **{**defaults, **options})


def identity(name: str) -> bytes:
    return hashlib.blake2b(raw(name), digest_size=8).digest()


def messages(claimed: Claimed) -> list[str]:
    return [text(claim.message) for claim in claimed.claims]
