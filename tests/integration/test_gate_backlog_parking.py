"""Tasks that their limits deny wait in the backlog, and the broker is told so."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
import redis
from kombu import Queue
from support.backloghouse import Open, clock, open_house, queue, store, unsteady
from support.clocked import redis_server_client
from support.gatehouses import limiter
from support.unsteady import Unsteady

from celery_ratekit.backlog import Backlog
from celery_ratekit.backlog.scripts import PARK
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Limit, TokenBucket
from celery_ratekit.signals import rate_limit_parked

__all__ = ["clock", "limiter", "open_house", "queue", "redis_server_client", "store", "unsteady"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
HOURLY = TokenBucket("hourly", "1/h", burst=1)
TENTH_US = 100_000


def test_who_is_denied_is_parked_and_acknowledged(open_house: Open) -> None:
    house = open_house()

    sent = [house.come(HOURLY) for _ in range(5)]
    house.settle()

    assert house.started_ids == sent[:1]
    assert house.next_ids == sent[1:]
    assert house.held_count == 0
    assert house.unacknowledged == 0
    assert all(request.acknowledged for request in house.received)


def test_what_is_due_starts_in_its_order_at_its_granted_moment(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.01

    sent = [house.come(TEN) for _ in range(12)]
    house.advance(1.2)

    assert house.started_ids == sent
    grants = [one.grant.start_us - house.clock.begin for one in house.started if one.grant]
    assert grants == pytest.approx([number * TENTH_US for number in range(12)], abs=1_000)


def test_a_late_acknowledging_task_is_acknowledged_when_it_is_parked(open_house: Open) -> None:
    house = open_house()

    first, second = (house.come(HOURLY, name="late") for _ in range(2))
    house.settle()

    assert house.unacknowledged == 1  # the one that runs
    assert house.next_ids == [second]
    house.end_task(first)
    assert house.unacknowledged == 0


def test_a_task_that_is_to_be_held_is_held(open_house: Open) -> None:
    house = open_house()

    sent = [house.come(HOURLY, name="held") for _ in range(3)]
    house.settle()
    house.advance(2)

    assert house.started_ids == sent[:1]
    assert house.held_count == house.unacknowledged == 2
    assert house.waiting == 0


def test_a_task_of_a_queue_that_goes_with_its_worker_is_held(open_house: Open, queue: str) -> None:
    house = open_house()
    own = Queue(f"{queue} own", auto_delete=True)
    house.lose_connection()
    house.connect(own)

    sent = [house.come(HOURLY, queue=own) for _ in range(3)]
    house.advance(2)

    assert house.started_ids == sent[:1]
    assert house.held_count == house.unacknowledged == 2


def test_one_question_parks_all_that_came_together(open_house: Open, unsteady: Unsteady) -> None:
    house = open_house()
    house.come(HOURLY)
    house.settle()
    for _ in range(100):
        house.publish(HOURLY)
    before = unsteady.commands

    house.deliver()
    house.settle()

    assert unsteady.commands - before <= 2  # one more where it is the queue's first
    assert house.waiting == 100


def test_a_message_that_the_broker_delivers_again_is_parked_once(
    open_house: Open, unsteady: Unsteady
) -> None:
    # As where a worker ends between storing a message and telling the broker of it.
    house = open_house()
    sent = [house.come(HOURLY) for _ in range(3)]
    unsteady.loses = [PARK]
    house.settle()
    assert (house.waiting, house.unacknowledged) == (2, 2)

    house.lose_connection()
    house.connect()
    house.deliver()
    house.settle()

    assert house.next_ids == sent[1:]
    assert house.unacknowledged == 0


def test_who_may_have_been_parked_is_parked_once(open_house: Open, unsteady: Unsteady) -> None:
    house = open_house()
    sent = [house.come(TEN) for _ in range(4)]
    unsteady.loses = [PARK]
    house.settle()
    assert house.waiting == 3
    assert house.unacknowledged == house.held_count == 3

    house.run_seconds = 0.001
    house.advance(5)

    assert sorted(house.started_ids) == sorted(sent)
    assert (house.waiting, house.claimed, house.unacknowledged) == (0, 0, 0)


def test_while_nothing_can_be_stored_tasks_are_held_and_start_after(
    open_house: Open, unsteady: Unsteady
) -> None:
    house = open_house()
    house.run_seconds = 0.001
    unsteady.refuses = {PARK}

    sent = [house.come(TEN) for _ in range(5)]
    house.advance(3)
    assert house.held_count == house.unacknowledged == 4
    unsteady.refuses.clear()
    house.advance(3)

    assert house.started_ids == sent
    assert house.unacknowledged == 0


def test_who_may_have_been_parked_runs_once_also_after_its_mark_has_died(
    open_house: Open, unsteady: Unsteady, limiter: Limiter, redis_server_client: redis.Redis
) -> None:
    house = open_house()
    sent = [house.come(TEN) for _ in range(4)]
    unsteady.loses = [PARK]
    house.settle()

    house.run_seconds = 0.001
    house.block(3)  # Redis was slow, or the loop was.
    redis_server_client.delete(limiter.keys.mark(TEN))
    house.advance(5)

    assert sorted(house.started_ids) == sorted(sent)


def test_more_than_may_wait_for_a_limit_are_held(open_house: Open) -> None:
    house = open_house(conf={"ratekit_max_backlog": 3})
    house.run_seconds = 0.001

    sent = [house.come(TEN) for _ in range(8)]
    house.settle()
    assert house.waiting == 3
    assert house.held_count == house.unacknowledged == 4
    house.advance(3)

    assert sorted(house.started_ids) == sorted(sent)
    assert house.started_ids[:4] == sent[:4]
    assert house.unacknowledged == 0


def test_who_listens_hears_of_each_that_is_parked(open_house: Open) -> None:
    house = open_house()
    told: list[tuple[str, Limit | None, str]] = []

    def hear(sender: object = None, limit: Limit | None = None, reason: str = "", **_: Any) -> None:
        told.append((getattr(sender, "name", ""), limit, reason))

    rate_limit_parked.connect(hear, weak=False)
    try:
        for _ in range(3):
            house.come(HOURLY)
        house.settle()
        house.advance(1.1)  # Nobody has been asked for in this worker for a while.
        house.come(HOURLY)
        house.settle()
    finally:
        rate_limit_parked.disconnect(hear)

    assert told == [("limited", HOURLY, "rate")] * 2 + [("limited", HOURLY, "queued")]


def test_a_listener_that_fails_stops_no_parking(open_house: Open) -> None:
    house = open_house()

    def fail(**_: Any) -> None:
        raise RuntimeError("as the test wants it")

    rate_limit_parked.connect(fail, weak=False)
    try:
        sent = [house.come(HOURLY) for _ in range(3)]
        house.settle()
    finally:
        rate_limit_parked.disconnect(fail)

    assert house.next_ids == sent[1:]
    assert house.unacknowledged == 0


def test_two_messages_of_one_task_id_are_two_entries(open_house: Open) -> None:
    house = open_house()
    house.come(HOURLY)

    twice = [house.come(HOURLY, task_id="the same") for _ in range(2)]
    house.settle()

    assert house.next_ids == twice
    assert house.unacknowledged == 0


def test_what_comes_back_is_the_message_that_came(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.001
    house.come(TEN)
    headers = {
        "text": "grün \ud800",
        "bytes": b"\x00\xff",
        "at": datetime(2027, 1, 2, tzinfo=timezone.utc),
    }

    task_id = house.come(TEN, headers=headers, args=(1, "zwei"), kwargs={"drei": [3]}, priority=7)
    house.advance(1)

    came, again = house.requests_of(task_id)
    assert again.message.channel is not came.message.channel
    assert again.message.payload == came.message.payload
    assert (again.args, again.kwargs) == ([1, "zwei"], {"drei": [3]})
    assert {name: again.request_dict[name] for name in headers} == headers
    assert again.delivery_info["priority"] == 7
    assert again.delivery_info["routing_key"] == came.delivery_info["routing_key"]


def test_a_word_that_there_is_room_counts_more_than_a_no_from_before(
    open_house: Open, store: Backlog, queue: str
) -> None:
    # A line that sleeps here goes by what it was told up to a second ago.
    house = open_house(slots=8)
    house.run_seconds = 0.001
    sent = [house.come(HOURLY) for _ in range(2)]
    house.settle()
    house.advance(0.1)
    assert len(store.take(queue, "another worker", sent[1:])) == 1  # so that no group waits
    store.wake(queue, limit_name="hourly")
    house.advance(0.2)

    sent.append(house.come(HOURLY))
    house.advance(0.01)

    due = store.next_due([queue], ["limited"])
    assert due == 0


def test_those_that_come_one_by_one_while_nobody_may_start_are_parked_together(
    open_house: Open, unsteady: Unsteady
) -> None:
    house = open_house(slots=4)
    house.come(HOURLY)
    house.come(HOURLY)
    house.settle()
    assert house.waiting == 1

    asked = unsteady.commands
    for _ in range(5):
        house.come(HOURLY)
        house.settle()
    assert unsteady.commands == asked
    house.advance(0.01)

    assert unsteady.commands == asked + 1
    assert house.waiting == 6


def test_nobody_waits_for_more_to_come_once_the_window_of_messages_is_full(
    open_house: Open,
) -> None:
    house = open_house(slots=4)
    house.come(HOURLY)
    house.come(HOURLY)
    house.settle()
    house.limit_window(4)  # One of them is running.

    for _ in range(2):
        house.come(HOURLY)
        house.settle()
    assert house.waiting == 1
    house.come(HOURLY)
    house.settle()

    assert house.waiting == 4
