"""What is measured of celery_ratekit, and the no-op scripts that it is measured against."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import redis

from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.question import Question, command
from celery_ratekit.limiter.scripts import Script
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, SlidingWindow, TokenBucket

from .timing import Contender

__all__ = [
    "bare_evalsha",
    "bucket",
    "concurrency",
    "denied",
    "drained",
    "granted",
    "noop",
    "reserved",
    "window",
]

HOLDER = b"sixteen letters."  # As long as the id that a place of a concurrency limit gets.


class NoOp(Script):
    """A script that reads nothing and answers an integer, in the form that the limiter calls."""

    def __init__(self) -> None:
        self.text = b"return 1"
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


NOOP = NoOp()


def noop(limiter: Limiter, limits: Sequence[Limit], name: str = "no-op") -> Contender:
    """The very bytes of a decision but for the script's name, on the limiter's own connection."""
    transport: Any = limiter._core._transport
    held = transport._held
    packed = command(NOOP, Question(limits, limiter.keys).parts, holder=HOLDER)
    return Contender(name, lambda: held.ask(packed, NOOP))


def bare_evalsha(client: redis.Redis, limiter: Limiter, limits: Sequence[Limit]) -> Contender:
    """A no-op with the same keys, called as redis-py's users call scripts."""
    parts = Question(limits, limiter.keys).parts
    keys = [key for part in parts for key in part.keys]
    sha = str(client.script_load(NOOP.text.decode()))
    argument = bytes(22 + 34 * len(parts))  # As long as the question.
    return Contender("redis-py evalsha", lambda: client.evalsha(sha, len(keys), *keys, argument))


def bucket(name: str, key: str = "") -> TokenBucket:
    """A token bucket that does not run dry while it is measured."""
    return TokenBucket(name, "1000/s", burst=1e9, key=key)


def window(name: str, size: int, *, sliding: bool) -> Limit:
    """A window that is never full: it lets 50,000 a second pass."""
    rate = f"{size}/{size / 50_000:g}s"
    return SlidingWindow(name, rate) if sliding else FixedWindow(name, rate)


def concurrency(name: str) -> Concurrency:
    """A limit with more places than a block has calls."""
    return Concurrency(name, 1_000)


def drained(limiter: Limiter, limit: Limit) -> Limit:
    """The limit, with nothing left."""
    while limiter.reserve(limit, 10_000, horizon=0).granted:
        pass
    return limit


def granted(limiter: Limiter, name: str, *limits: Limit) -> Contender:
    """Calls that are all granted; places of concurrency limits are given back between blocks."""
    asked: Any = limits if len(limits) > 1 else limits[0]
    places = [limit for limit in limits if isinstance(limit, Concurrency)]

    def give_back() -> None:
        for limit in places:
            limiter.reset(limit)

    return Contender(name, lambda: limiter.acquire(asked), before=give_back)


def denied(limiter: Limiter, name: str, *limits: Limit) -> Contender:
    """Calls of which none is granted."""
    asked: Any = limits if len(limits) > 1 else limits[0]
    return Contender(name, lambda: limiter.acquire(asked), right=lambda answer: not answer)


def reserved(limiter: Limiter, limit: Limit, count: int, *, read: bool = False) -> Contender:
    """As many starts in one call; with ``read``, each of them is looked at."""
    name = f"reserve {count:,}" + (" and read each start" if read else "")

    def call() -> int:
        starts = limiter.reserve(limit, count)
        return len(list(starts)) if read else len(starts)

    return Contender(name, call, right=lambda answer: bool(answer == count), decisions=count)
