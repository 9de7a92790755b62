"""Dispatchers send to plain workers what waits, also where some of them are killed."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from support.journal import Journal, not_yet
from support.throttled import (
    PLAIN,
    Programs,
    documented_environment,
    programs,
    stop,
    wait_for_stats,
)

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.throttle import CeleryThrottle

pytestmark = [pytest.mark.redis, pytest.mark.workers]

PLAIN_WORKER = {PLAIN: "1"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tcp=True) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return f"p{uuid4().hex}"


@pytest.fixture
def running(server: EmbeddedRedis, prefix: str) -> Iterator[Programs]:
    with programs(server, QUEUE_PREFIX=prefix) as running:
        yield running


@pytest.fixture
def journal(server: EmbeddedRedis) -> Journal:
    return Journal(server.url_for(9))


@pytest.fixture
def throttle(
    server: EmbeddedRedis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CeleryThrottle]:
    for name, value in documented_environment(server, QUEUE_PREFIX=prefix).items():
        monkeypatch.setenv(name, value)
    throttle = CeleryThrottle()
    yield throttle
    throttle.app.backend.remove_pending_result = lambda result: result
    throttle.app.close()


@pytest.fixture
def label() -> str:
    return uuid4().hex


def test_plain_workers_get_what_waits_and_its_ends_are_counted(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1", **PLAIN_WORKER)
    queue = throttle.create_queue("20/s")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(20)])
    # Without a dispatcher a plain worker gets nothing but what was sent at once.
    wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 1)
    assert throttle.get_queue_stats(queue).tasks_waiting == 19
    dispatcher = running.dispatcher()
    journal.wait_for_starts(label, 20)
    stats = wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 20)
    assert (stats.tasks_waiting, stats.tasks_processing, stats.tasks_failed) == (0, 0, 0)
    stop(dispatcher)


def test_a_dispatcher_that_is_killed_loses_nothing(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1", **PLAIN_WORKER)
    queue = throttle.create_queue("40/s")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(120)])
    for number in range(3):
        killed = running.dispatcher("--interval", "0.5")
        journal.wait_for_starts(label, 10 * (number + 1))
        killed.kill()
    running.dispatcher("--interval", "0.5")
    # What the killed ones had comes back after half a minute each.
    # One that was killed between sending and forgetting has a task sent twice.
    wait_for(
        "every task",
        lambda: not_yet({one["number"] for one in journal.starts(label)} != set(range(120))),
        timeout=120,
    )
    wait_for_stats(throttle, queue, lambda one: not one.tasks_waiting and not one.tasks_processing)


def test_a_dispatcher_beside_workers_with_the_gate_does_no_harm(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1")
    running.dispatcher()
    queue = throttle.create_queue("20/s")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(40)])
    starts = journal.wait_for_starts(label, 40, timeout=30)
    assert {start["number"] for start in starts} == set(range(40))
    wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 40)
