"""Marks say that calls wait, no more often than it takes to keep them alive."""

from __future__ import annotations

import pytest
import redis
from support.clocked import clock, limiter, redis_server_client

from celery_ratekit.limiter import Ask, Limiter, Reservations
from celery_ratekit.limits import Limit, TokenBucket
from celery_ratekit.worker.backlog import marker as marker_module
from celery_ratekit.worker.backlog.marker import MARK_SECONDS, RENEWED_AFTER_SECONDS, Marker

__all__ = ["clock", "limiter", "redis_server_client"]

pytestmark = pytest.mark.redis

A, B = (TokenBucket("user", "100/s", burst=9, key=key) for key in "ab")


class Marking:
    """A marker whose clock the test sets, with what it looks at."""

    def __init__(self, limiter: Limiter, client: redis.Redis) -> None:
        self.now = 100.0
        self.marker = Marker(lambda: limiter, lambda: self.now)
        self._limiter = limiter
        self._client = client

    def is_marked(self, limit: Limit) -> bool:
        (answer,) = self._limiter.reserve_many([Ask((limit,), yields=True)])
        assert isinstance(answer, Reservations)
        return answer.reason == "queued"

    def renews(self, limit: Limit) -> bool:
        """Whether the mark is set once more."""
        self._client.delete(self._limiter.keys.mark(limit))
        self.marker.mark([limit])
        return self.is_marked(limit)


@pytest.fixture
def marking(limiter: Limiter, redis_server_client: redis.Redis) -> Marking:
    return Marking(limiter, redis_server_client)


def test_newcomers_yield_to_those_who_wait_for_what_is_marked(marking: Marking) -> None:
    marking.marker.mark([A, A])

    assert marking.is_marked(A)
    assert not marking.is_marked(B)


def test_a_mark_is_renewed_now_and_then(marking: Marking) -> None:
    assert marking.renews(A)
    assert not marking.renews(A)
    assert marking.renews(B)

    marking.now += RENEWED_AFTER_SECONDS - 0.01
    assert not marking.renews(A)
    marking.now += 0.01
    assert marking.renews(A)


def test_a_mark_lives_for_longer_than_it_takes_to_be_renewed(
    marking: Marking, limiter: Limiter, redis_server_client: redis.Redis
) -> None:
    marking.marker.mark([A])

    milliseconds = redis_server_client.pttl(limiter.keys.mark(A))
    assert 0 < milliseconds <= MARK_SECONDS * 1_000
    assert RENEWED_AFTER_SECONDS < MARK_SECONDS / 2


def test_what_could_not_be_marked_is_tried_again_at_once(marking: Marking) -> None:
    away = Limiter("redis://localhost:1/0", timeout_seconds=0.5)
    reached = marking.marker._limiter
    marking.marker._limiter = lambda: away
    try:
        marking.marker.mark([A])
    finally:
        marking.marker._limiter = reached
        away.close()
    assert not marking.is_marked(A)

    marking.marker.mark([A])

    assert marking.is_marked(A)


def test_it_remembers_a_bounded_number_of_limits(
    marking: Marking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marker_module, "MOST_REMEMBERED", 10)

    for number in range(50):
        marking.marker.mark([A.with_key(str(number))])

    assert len(marking.marker._marked) <= 10
