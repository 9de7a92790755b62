"""Watching a limiter while its Redis is away: what it answers, what it sends, what it tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.decision import Decision
from celery_ratekit.limits import Limit, TokenBucket

SLOW = TokenBucket("stripe", "1/d", burst=1_000)  # nothing comes back while a test runs

RECOVERY_SECONDS = 20.0
"""The breaker's longest pause is 2 s; a busy machine may need longer."""


class Told:
    """What a limiter tells its ``on_degraded``."""

    def __init__(self) -> None:
        self.changes: list[bool] = []
        self.errors: list[BaseException | None] = []

    def __call__(self, degraded: bool, error: BaseException | None) -> None:
        self.changes.append(degraded)
        self.errors.append(error)


def calls(server: EmbeddedRedis, command: str = "evalsha") -> int:
    """How often a command was carried out since `forget_calls`."""
    with server.client() as client:
        stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def forget_calls(server: EmbeddedRedis) -> None:
    with server.client() as client:
        client.config_resetstat()


def wait_for_calls(server: EmbeddedRedis, number: int) -> None:
    """Waits until so many questions were carried out."""

    def check() -> None:
        if calls(server) < number:
            raise NotYetError(f"{calls(server)} questions were carried out")

    wait_for(f"{number} questions", check, timeout=RECOVERY_SECONDS)


def wait_until_recovered(limiter: Limiter, limit: Limit = SLOW) -> Decision:
    """The first decision that is Redis' own, from a limiter whose Redis is back."""

    def check() -> Decision:
        try:
            decision = limiter.acquire(limit)
        except Exception as error:
            raise NotYetError(str(error)) from error
        if decision.degraded:
            raise NotYetError(repr(decision))
        return decision

    return wait_for("answer from Redis", check, timeout=RECOVERY_SECONDS)


@contextmanager
def configured(server: EmbeddedRedis, **settings: object) -> Iterator[redis.Redis]:
    """A server with other settings for a while, and the client that set them."""
    names = [name.replace("_", "-") for name in settings]
    with server.client(decode_responses=True) as client:
        before: dict[str, Any] = {}
        for name in names:
            before.update(client.config_get(name))
        for name, value in zip(names, settings.values(), strict=True):
            client.config_set(name, str(value))
        try:
            yield client
        finally:
            for name, old in before.items():
                client.config_set(name, old)
