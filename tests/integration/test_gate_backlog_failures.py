"""The backlog while its Redis is away, answers are lost, connections end and workers die."""

from __future__ import annotations

from typing import Any

import pytest
from celery.worker import state
from support.backloghouse import (
    Backloghouse,
    Open,
    clock,
    open_house,
    queue,
    store,
    together,
    unsteady,
)
from support.gatehouses import limiter
from support.unsteady import Unsteady

from celery_ratekit.backlog import Backlog
from celery_ratekit.backlog.scripts import CLAIM, FINISH, GIVE_BACK, PARK, TAKE
from celery_ratekit.limits import Concurrency, TokenBucket

__all__ = ["clock", "limiter", "open_house", "queue", "store", "unsteady"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
HOURLY = TokenBucket("hourly", "1/h", burst=1)
SLOT = Concurrency("slot", 1)


def check_each_ran_once(house: Backloghouse, sent: list[str]) -> None:
    assert sorted(house.started_ids) == sorted(sent)
    assert (house.waiting, house.claimed) == (0, 0)
    assert house.held_count == house.unacknowledged == 0
    assert house.gate.idle_slots == house.gate.slot_count


SCRIPTS = {"park": PARK, "claim": CLAIM, "finish": FINISH, "give back": GIVE_BACK}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("limit", [TEN, SLOT])
def test_whichever_answer_is_lost_each_runs_once(
    open_house: Open, unsteady: Unsteady, script: Any, limit: Any
) -> None:
    house = open_house()
    house.run_seconds = 0.02
    sent = [house.come(limit) for _ in range(8)]
    unsteady.loses = [script, script]

    for _ in range(5):
        house.advance(0.3)
        unsteady.loses += [script] * (2 - len(unsteady.loses))
        sent.append(house.come(limit))
    unsteady.loses = []
    house.advance(12)

    check_each_ran_once(house, sent)


@pytest.mark.parametrize("limit", [TEN, SLOT])
def test_what_ran_while_redis_was_away_is_forgotten_when_it_is_back(
    open_house: Open, unsteady: Unsteady, limit: Any
) -> None:
    house = open_house()
    house.run_seconds = 0.02
    sent = [house.come(limit, name="late") for _ in range(6)]
    house.advance(0.15)

    unsteady.is_away = True
    house.advance(3)
    sent += [house.come(limit, name="late") for _ in range(3)]
    house.advance(3)
    unsteady.is_away = False
    house.advance(8)

    check_each_ran_once(house, sent)


def test_while_the_backlog_is_away_unlimited_tasks_run(
    open_house: Open, unsteady: Unsteady
) -> None:
    house = open_house()
    house.run_seconds = 0.001
    for _ in range(5):
        house.come(HOURLY)
    house.advance(1)
    unsteady.is_away = True

    free = [house.come() for _ in range(3)]
    house.advance(2)

    assert house.started_ids[1:] == free


def test_what_is_claimed_and_has_not_begun_goes_back_when_the_connection_is_lost(
    open_house: Open,
) -> None:
    house = open_house(slots=2)
    sent = [house.come(TEN, name="late") for _ in range(4)]
    house.settle()
    house.advance(0.15)  # The second runs too,
    house.end_task(sent[0])
    assert house.started_ids == sent[:2]
    house.settle()
    house.advance(0.005)

    house.lose_connection()

    assert house.claimed == 1  # and goes on.
    assert house.next_ids == sent[2:]
    house.end_task(sent[1])
    assert house.claimed == 0
    house.connect()
    house.run_seconds = 0.001
    house.advance(2)
    check_each_ran_once(house, sent)


def test_a_start_ahead_of_a_pulled_task_is_given_back_with_its_claim(open_house: Open) -> None:
    house = open_house(slots=4)
    house.run_seconds = 0.001
    sent = [house.come(TEN) for _ in range(6)]
    house.advance(0.11)  # Pulled ones have starts ahead of them.
    assert house.gate.room.granted_count > 0
    begun = len(house.started)

    house.lose_connection()
    assert house.claimed == 0
    assert house.next_ids == sent[begun:]
    assert len(state.requests) == 0
    house.connect()
    house.advance(2)

    check_each_ran_once(house, sent)
    assert house.started_ids == sent


def test_a_gate_that_closes_while_redis_is_away_brings_back_what_it_has_later(
    open_house: Open, unsteady: Unsteady
) -> None:
    house = open_house(slots=4)
    house.run_seconds = 0.001
    sent = [house.come(TEN) for _ in range(6)]
    house.advance(0.11)
    unsteady.is_away = True
    house.lose_connection()
    unsteady.is_away = False
    assert house.claimed > 0

    house.connect()
    house.advance(3)

    check_each_ran_once(house, sent)


def test_a_worker_that_ends_leaves_its_claims_to_others(open_house: Open) -> None:
    one = open_house(slots=2, with_semaphore=False)
    other = open_house(slots=2, with_semaphore=False)
    sent = [one.come(TEN, name="late") for _ in range(3)]
    one.advance(0.15)
    assert one.started_ids == sent[:2]

    one.shut_down()
    other.run_seconds = 0.001
    other.advance(2)

    # Nobody will tell how the second ended: it may have run, and says so.
    assert sorted(other.started_ids) == sorted(sent[1:])
    assert other.requests_of(sent[1])[0].delivery_info["redelivered"]
    assert not other.requests_of(sent[2])[0].delivery_info["redelivered"]


def test_what_a_dead_worker_had_comes_back(open_house: Open, store: Backlog) -> None:
    dead = open_house(slots=2, with_semaphore=False)
    other = open_house(slots=2, with_semaphore=False)
    sent = [dead.come(TEN, name="late") for _ in range(3)]
    dead.advance(0.15)
    assert dead.claimed == 1
    other.run_seconds = 0.001
    other.advance(6)
    assert other.started_ids == sent[2:]  # It is not yet known to be dead.

    (worker,) = store.claimers(dead.queue)
    store.say_gone(worker)
    other.advance(6)

    assert other.started_ids == [sent[2], sent[1]]
    assert other.claimed == 0


def test_the_end_of_what_was_taken_away_harms_nobody(open_house: Open, store: Backlog) -> None:
    # As of a worker that stood still for long, and was taken for dead.
    slow = open_house(slots=2, with_semaphore=False)
    other = open_house(slots=2, with_semaphore=False)
    sent = [slow.come(TEN, name="late") for _ in range(2)]
    slow.advance(0.15)
    (worker,) = store.claimers(slow.queue)
    store.say_gone(worker)
    other.advance(6)
    assert other.started_ids == sent[1:]

    slow.end_task(sent[1])
    assert other.claimed == 1
    other.end_task(sent[1])

    assert (other.waiting, other.claimed) == (0, 0)


def test_a_turn_that_fails_in_the_middle_loses_nothing(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = open_house()
    house.run_seconds = 0.001
    sent = [house.come(TEN) for _ in range(6)]
    house.settle()
    left = [3]
    deliver = house.consumer.create_task_handler()

    def failing(message: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("as the test wants it")
        deliver(message)

    monkeypatch.setattr(house.overflow.puller._link, "_handler", failing)
    house.advance(5)

    check_each_ran_once(house, sent)


def test_what_somebody_else_has_taken_out_stops_no_other(open_house: Open, store: Backlog) -> None:
    house = open_house()
    house.run_seconds = 0.001
    sent = [house.come(TEN) for _ in range(3)]
    house.settle()

    (waiting,) = [one for one in store.peek(house.queue, 5) if one.task_id == sent[1]]
    assert waiting.before == 0
    (claim,) = store.take(house.queue, "somebody", [sent[1]])
    store.finish(house.queue, "somebody", [claim.entry_id])
    house.advance(2)

    assert house.started_ids == [sent[0], sent[2]]


def test_revoked_tasks_cannot_be_taken_while_redis_is_away(
    open_house: Open, unsteady: Unsteady
) -> None:
    house = open_house()
    sent = [house.come(HOURLY) for _ in range(3)]
    house.settle()
    unsteady.refuses = {TAKE}

    state.revoked.add(sent[1])
    house.gate.revoke([sent[1]])

    assert house.next_ids == sent[1:]


def test_two_workers_of_which_one_loses_its_connection_again_and_again(open_house: Open) -> None:
    houses = [open_house(slots=2, with_semaphore=False) for _ in range(2)]
    for house in houses:
        house.run_seconds = 0.01
    sent = [houses[number % 2].come(TEN) for number in range(24)]
    for _ in range(4):
        together(houses, 0.7)
        houses[0].lose_connection()
        together(houses, 0.02)
        houses[0].connect()
        houses[0].deliver()
    together(houses, 3)

    started = [one.id for house in houses for one in house.started]
    assert sorted(started) == sorted(sent)
    assert (houses[0].waiting, houses[0].claimed) == (0, 0)
