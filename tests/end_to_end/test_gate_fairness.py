"""A busy or blocked pool: limited tasks neither come last nor in a bunch afterwards."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from end_to_end.apps.gate import MODULE, sender
from support.delivery import runs_by_number
from support.journal import Journal
from support.pace import check_exact, check_not_saved_up
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis

pytestmark = [pytest.mark.redis, pytest.mark.workers]

SLOTS = 4
POOLS = {
    "prefork": ("--pool", "prefork", "--concurrency", str(SLOTS)),
    "threads": ("--pool", "threads", "--concurrency", str(SLOTS)),
}
pools = pytest.mark.parametrize("pool", POOLS)

BLOCKED_SECONDS = 3.0
"""Long enough for sixty starts to be saved up, were they saved up."""

PER_SECOND = 20
LATE_SECONDS = 0.1
"""What is later when a slot could take it is dropped and asked anew."""

TOLERANCE_SECONDS = 1.0
"""From the slot to the first line of the body, on a machine that may stand still for a moment; a
start that was saved up would be late by three times as much."""

PLAIN = 800
LIMITED = 20
MOST_BEHIND = 40
"""How many tasks may overtake one that queues with them: a twentieth of all."""


@pytest.fixture
def setup(redis_server: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"worker_prefetch_multiplier": 0}  # All that was sent is in the worker.
    return Setup(redis_server.celery_url, redis_url, conf=conf, module=MODULE)


@pools
def test_a_pool_that_was_blocked_runs_no_bunch_of_saved_up_starts_afterwards(
    pool: str, setup: Setup
) -> None:
    journal, label = Journal(setup.journal), uuid4().hex
    with workers(setup, 1, *POOLS[pool]), sender(setup) as app:
        for number in range(10):
            app.tasks["note"].delay(label, [label, PER_SECOND, 1], number)
        journal.wait_for_starts(label, 3)
        for _ in range(SLOTS):
            app.tasks["plain_until_told"].delay(label)
        journal.wait_for_starts(f"{label} blocked", SLOTS)
        begun = len(journal.starts(label))
        for number in range(10, 70):
            app.tasks["note"].delay(label, [label, PER_SECOND, 1], number)

        time.sleep(BLOCKED_SECONDS)  # The time itself is what this is about.
        assert len(journal.starts(label)) <= begun + SLOTS
        for _ in range(SLOTS):
            journal.say(label, "go on")
        starts = journal.wait_for_starts(label, 70)

    assert runs_by_number(journal, label) == dict.fromkeys(range(70), 1)
    check_exact(starts, PER_SECOND)
    check_not_saved_up(starts, PER_SECOND)
    longest = max(start["at"] - start["granted_at"] for start in starts)
    assert longest <= LATE_SECONDS + TOLERANCE_SECONDS


@pools
def test_limited_tasks_among_many_plain_ones_start_in_turn(pool: str, setup: Setup) -> None:
    journal, label = Journal(setup.journal), uuid4().hex
    every = (PLAIN + LIMITED) // LIMITED
    limited = range(every // 2, PLAIN + LIMITED, every)
    with workers(setup, 1, *POOLS[pool]), sender(setup) as app:
        for number in range(PLAIN + LIMITED):
            if number in limited:
                app.tasks["note"].delay(label, [label, "1000/s", 1000], number, seconds=0.005)
            else:
                app.tasks["plain"].delay(label, number, seconds=0.005)
        starts = journal.wait_for_starts(label, PLAIN + LIMITED)

    order = [start["number"] for start in starts]
    assert len(limited) == LIMITED
    behind = {number: order.index(number) - number for number in limited}
    assert max(behind.values()) <= MOST_BEHIND, behind


@pools
def test_one_slow_limit_does_not_hold_up_others_in_the_same_worker(pool: str, setup: Setup) -> None:
    journal, label = Journal(setup.journal), uuid4().hex
    with workers(setup, 1, *POOLS[pool]), sender(setup) as app:
        for number in range(50):
            app.tasks["note"].delay(f"{label} slow", [f"{label} slow", "1/h", 1], number)
        for number in range(40):
            app.tasks["note"].delay(f"{label} fast", [f"{label} fast", PER_SECOND, 1], number)
        app.tasks["plain"].delay(f"{label} plain")

        starts = journal.wait_for_starts(f"{label} fast", 40)
        [plain] = journal.wait_for_starts(f"{label} plain", 1)

        assert len(journal.starts(f"{label} slow")) == 1

    check_exact(starts, PER_SECOND)
    assert starts[-1]["at"] - starts[0]["at"] <= 1.2 * 39 / PER_SECOND
    assert plain["at"] <= starts[-1]["at"]
