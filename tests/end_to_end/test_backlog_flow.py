"""Throttled tasks wait in the backlog: in order, fairly, and in nobody's way."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from celery import Celery
from end_to_end.apps.gate import MODULE, sender
from support.delivery import runs_by_number
from support.given import journal
from support.journal import Journal
from support.pace import LEAST_SHARE, check_exact, check_not_saved_up, used_share
from support.parked import app, backlog_keys, backlog_of, wait_until_drained, wait_until_parked
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis

__all__ = ["app", "journal"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

QUEUE = "celery"
PER_SECOND = 50
SLOW_PER_SECOND = 10
"""Less than a busy machine sends."""

MOST_OUT_OF_ORDER = 24
"""Slots of all workers, twice: those who were claimed together start in the order of their limits,
whichever worker has them."""


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    """With the broker's own Redis for the limits, the backlog is where tasks wait by default."""
    conf = {"ratekit_overflow": "auto"}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.mark.parametrize("multiplier", [1, 4])
def test_tasks_without_a_limit_pass_those_that_wait(
    multiplier: int, setup: Setup, app: Celery, journal: Journal, private_redis: EmbeddedRedis
) -> None:
    label = uuid4().hex
    arguments = ("--concurrency", "2", "--prefetch-multiplier", str(multiplier))
    with workers(setup, 1, *arguments), backlog_of(private_redis.url) as backlog:
        for number in range(400):
            app.tasks["note"].delay(label, [label, "1/h", 1], number)
        for number in range(50):
            app.tasks["plain"].delay(f"{label} free", number)
        journal.wait_for_starts(f"{label} free", 50)
        wait_until_parked(backlog, QUEUE, 399)

        for number in range(50, 70):
            app.tasks["plain"].delay(f"{label} free", number)
        starts = journal.wait_for_starts(f"{label} free", 70)

        assert backlog.sizes(QUEUE).waiting == 399
        with private_redis.client() as client:
            assert client.llen(QUEUE) == client.hlen("unacked") == 0

    assert {start["number"] for start in starts[50:]} == set(range(50, 70))
    assert len(journal.starts(label)) == 1


def test_two_workers_keep_the_rate_and_the_order_while_others_come(
    setup: Setup, app: Celery, journal: Journal, private_redis: EmbeddedRedis
) -> None:
    label, count = uuid4().hex, 5 * PER_SECOND
    with workers(setup, 2, "--concurrency", "4"), backlog_of(private_redis.url) as backlog:
        for number in range(count):
            app.tasks["note"].delay(label, [label, PER_SECOND, 1], number)
            time.sleep(0.5 / PER_SECOND)  # Twice as fast as they may start.
        starts = journal.wait_for_starts(label, count)
        wait_until_drained(backlog, QUEUE)

    assert runs_by_number(journal, label) == dict.fromkeys(range(count), 1)
    check_exact(starts, PER_SECOND)
    check_not_saved_up(starts, PER_SECOND)
    assert used_share(starts, PER_SECOND) >= LEAST_SHARE
    order = [start["number"] for start in sorted(starts, key=lambda one: one["granted_at"])]
    assert max(abs(number - place) for place, number in enumerate(order)) <= MOST_OUT_OF_ORDER
    assert journal.count_throttles(label) == 0
    with private_redis.client() as client:
        assert backlog_keys(client) == []


def test_a_user_with_many_tasks_delays_no_other(
    setup: Setup, app: Celery, journal: Journal
) -> None:
    label = uuid4().hex
    with workers(setup, 1, "--concurrency", "4"):
        for number in range(400):
            app.tasks["note"].delay(f"{label} a", [f"{label} a", "20/s", 1], number)
        for number in range(10):
            app.tasks["note"].delay(f"{label} b", [f"{label} b", "20/s", 1], number)
        few = journal.wait_for_starts(f"{label} b", 10)
        many = journal.starts(f"{label} a")

    assert len(many) < 400
    assert [start["number"] for start in few] == list(range(10))
    # At its own rate it takes 0.45 s; a machine that is busy takes longer, but not a queue's time.
    assert few[-1]["at"] - few[0]["at"] <= 400 / 20 / 4
    check_exact(few, 20)


def test_what_a_slow_limit_was_promised_keeps_no_slot_from_a_faster_one(
    setup: Setup, app: Celery, journal: Journal
) -> None:
    label = uuid4().hex
    with workers(setup, 2, "--concurrency", "4"):
        for number in range(100):
            app.tasks["note"].delay(f"{label} slow", [f"{label} slow", 8, 1], number)
            app.tasks["note"].delay(f"{label} fast", [f"{label} fast", 20, 1], number)
        fast = journal.wait_for_starts(f"{label} fast", 100)
        slow = journal.starts(f"{label} slow")

    check_exact(fast, 20)
    assert used_share(fast, 20) >= LEAST_SHARE
    assert used_share(slow, 8) >= LEAST_SHARE


def test_more_than_may_wait_are_held_and_run_all_the_same(
    setup: Setup, journal: Journal, private_redis: EmbeddedRedis
) -> None:
    label = uuid4().hex
    setup.conf["ratekit_max_backlog"] = 20  # type: ignore[index]
    with (
        workers(setup, 1, "--concurrency", "4", "--prefetch-multiplier", "4") as [worker],
        backlog_of(private_redis.url) as backlog,
        sender(setup) as app,
    ):
        for number in range(60):
            app.tasks["note"].delay(label, [label, SLOW_PER_SECOND, 1], number)
        worker.wait_for_log("more than 20 tasks wait for")
        assert backlog.sizes(QUEUE).waiting <= 20

        starts = journal.wait_for_starts(label, 60)
        assert worker.log.count("more than 20 tasks wait for") == 1

    assert runs_by_number(journal, label) == dict.fromkeys(range(60), 1)
    check_exact(starts, SLOW_PER_SECOND)


def test_messages_of_higher_priority_come_first_among_those_that_wait_together(
    setup: Setup, app: Celery, journal: Journal, private_redis: EmbeddedRedis
) -> None:
    label = uuid4().hex
    with backlog_of(private_redis.url) as backlog:
        with workers(setup, 1, "--concurrency", "1"):
            for number in range(30):
                # Redis as a broker counts down: 0 comes first.
                app.tasks["note"].apply_async((label, [label, "1/h", 1], number), priority=9)
            wait_until_parked(backlog, QUEUE, 29)
            for number in range(30, 33):
                app.tasks["note"].apply_async((label, [label, "1/h", 1], number), priority=0)
            wait_until_parked(backlog, QUEUE, 32)
        [first] = journal.starts(label)

        next_ids = [waiting.task_id for waiting in backlog.peek(QUEUE, 4)]
        locations = [backlog.locate(task_id, QUEUE) for task_id in next_ids]

    assert first["number"] == 0
    assert [location and location.before for location in locations] == [0, 1, 2, 3]
