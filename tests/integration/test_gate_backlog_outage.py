"""After an outage of Redis nobody is taken for dead who could not say that it lives."""

from __future__ import annotations

import pytest
from support.backloghouse import Open, clock, open_house, queue, store, unsteady
from support.gatehouses import limiter
from support.unsteady import Unsteady

from celery_ratekit.backlog import Backlog
from celery_ratekit.limits import TokenBucket
from celery_ratekit.worker.backlog.liveness import BEAT_SECONDS, GONE_AFTER_SECONDS

__all__ = ["clock", "limiter", "open_house", "queue", "store", "unsteady"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)


def test_what_runs_while_redis_is_away_for_long_runs_once(
    open_house: Open, store: Backlog, unsteady: Unsteady
) -> None:
    busy = open_house(slots=2, with_semaphore=False)
    other = open_house(slots=2, with_semaphore=False)
    sent = [busy.come(TEN, name="late") for _ in range(2)]
    busy.advance(0.15)
    assert busy.started_ids == sent
    (worker,) = store.claimers(busy.queue)

    unsteady.is_away = True
    other.advance(GONE_AFTER_SECONDS + 3)
    unsteady.is_away = False
    store.say_gone(worker)  # Its last sign has expired meanwhile.
    other.advance(BEAT_SECONDS + 2)
    store.say_alive(worker, GONE_AFTER_SECONDS)
    other.advance(30)

    assert other.started_ids == []
    busy.end_task(sent[1])
    assert (busy.waiting, busy.claimed) == (0, 0)


def test_who_died_while_redis_was_away_is_found_after(
    open_house: Open, store: Backlog, unsteady: Unsteady
) -> None:
    dead = open_house(slots=2, with_semaphore=False)
    other = open_house(slots=2, with_semaphore=False)
    sent = [dead.come(TEN, name="late") for _ in range(2)]
    dead.advance(0.15)
    (worker,) = store.claimers(dead.queue)

    unsteady.is_away = True
    other.advance(3)
    unsteady.is_away = False
    store.say_gone(worker)
    other.advance(20)

    assert other.started_ids == sent[1:]
