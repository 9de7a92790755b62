"""A task that waits in the backlog and was revoked, or has expired, does not run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from celery.worker import state
from support.backloghouse import Open, clock, open_house, queue, store, unsteady
from support.gatehouses import limiter
from support.unsteady import Unsteady

from celery_ratekit.backlog.scripts import TAKE
from celery_ratekit.limits import TokenBucket

__all__ = ["clock", "limiter", "open_house", "queue", "store", "unsteady"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
HOURLY = TokenBucket("hourly", "1/h", burst=1)


def test_a_revoked_task_leaves_the_backlog_at_once(open_house: Open) -> None:
    house = open_house()
    sent = [house.come(HOURLY) for _ in range(4)]
    house.settle()

    state.revoked.add(sent[2])
    house.gate.revoke([sent[2]])
    house.settle()

    assert house.next_ids == [sent[1], sent[3]]
    assert house.claimed == 0
    assert house.started_ids == sent[:1]


def test_revoked_tasks_whose_answer_was_lost_do_not_stay_claimed(
    open_house: Open, unsteady: Unsteady
) -> None:
    house = open_house()
    sent = [house.come(HOURLY) for _ in range(4)]
    house.settle()

    state.revoked.add(sent[2])
    unsteady.loses = [TAKE]
    house.gate.revoke([sent[2]])
    assert house.claimed == 1
    house.advance(2)

    assert house.claimed == 0
    assert set(sent[1:]) - {sent[2]} <= set(house.next_ids)


def test_a_task_that_was_revoked_while_nobody_looked_does_not_run(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.001
    sent = [house.come(TEN) for _ in range(4)]
    house.settle()
    state.revoked.add(sent[1])  # as a worker that has just come learns from others

    house.advance(1)

    assert house.started_ids == [sent[0], sent[2], sent[3]]
    assert (house.waiting, house.claimed) == (0, 0)


def test_a_pulled_task_that_is_revoked_before_its_start_gives_it_to_the_next(
    open_house: Open,
) -> None:
    house = open_house()
    house.run_seconds = 0.001
    sent = [house.come(TEN) for _ in range(6)]
    house.advance(0.11)
    assert house.gate.room.granted_count > 1
    begun = len(house.started)
    state.revoked.add(sent[begun])

    house.advance(2)

    assert house.started_ids == sent[:begun] + sent[begun + 1 :]
    assert (house.waiting, house.claimed) == (0, 0)


def test_what_has_expired_is_not_parked_and_what_has_not_runs(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.001
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    sent = [house.come(TEN), house.come(TEN, expires=soon), house.come(TEN)]
    house.settle()
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    house.come(TEN, expires=past)

    house.advance(1)

    assert house.started_ids == sent
    assert (house.waiting, house.claimed) == (0, 0)
