"""Dispatchers send to plain workers what waits, also where some of them are killed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from support.journal import Journal, not_yet
from support.throttled import (
    PLAIN,
    Programs,
    close,
    documented_environment,
    programs,
    stop,
    wait_for_stats,
)

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.throttle import CeleryThrottle
from celery_ratekit.throttle.dispatch.dispatcher import SENT_AT_ONCE

pytestmark = [pytest.mark.redis, pytest.mark.workers]

PLAIN_WORKER = {PLAIN: "1"}

SOON_SECONDS = 30.0
"""Half as long as the dispatcher sleeps when nobody wakes it."""


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
    close(throttle)


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


def test_a_dispatcher_is_woken_by_what_is_submitted(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1", **PLAIN_WORKER)
    running.dispatcher("--interval", "60")  # before there is any queue
    note = throttle.app.signature
    wait_for("a dispatcher that listens", lambda: not_yet(not listening(throttle)), timeout=60)
    for number in range(2):
        queue = throttle.create_queue("20/s")
        throttle.submit_many(queue, [note("note", (label, n)) for n in range(10)])
        journal.wait_for_starts(label, 10 * (number + 1), timeout=SOON_SECONDS)
        # A connection that is lost is made anew, and what was missed is looked for.
        throttle.redis.client_kill_filter(_type="pubsub")


def listening(throttle: CeleryThrottle) -> int:
    """How many programs hear of what is submitted."""
    channel = throttle.runtime.limiter.overrides.channel
    return int(throttle.redis.pubsub_numsub(channel)[0][1])


def test_a_dispatcher_that_is_killed_loses_nothing(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1", **PLAIN_WORKER)
    queue = throttle.create_queue("40/s")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(160)])
    chance = random.Random(6)
    for number in range(4):
        killed = running.dispatcher("--interval", "0.5")
        running.dispatcher("--interval", "0.5")
        journal.wait_for_starts(label, 20 * (number + 1) + chance.randrange(20))
        killed.kill()
    # What a killed one had comes back after half a minute.
    wait_for_all(journal, label, 160)
    wait_for_stats(throttle, queue, lambda one: not one.tasks_waiting and not one.tasks_processing)
    # One that was killed between sending and forgetting has those sent twice.
    assert len(journal.starts(label)) <= 160 + 4 * SENT_AT_ONCE


def wait_for_all(journal: Journal, label: str, number: int) -> None:
    """Waits until each task has begun at least once."""
    wait_for(
        "every task",
        lambda: not_yet({one["number"] for one in journal.starts(label)} != set(range(number))),
        timeout=120,
    )


@pytest.mark.rabbitmq
def test_outages_of_rabbitmq_and_of_redis_lose_nothing(  # noqa: PLR0917 - fixtures
    server: EmbeddedRedis,
    prefix: str,
    journal: Journal,
    label: str,
    rabbitmq_executable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        EmbeddedRedis(tcp=True, config={"appendonly": True, "appendfsync": "always"}) as limits,
        EmbeddedRabbitMQ(executable=rabbitmq_executable) as broker,
    ):
        where = {
            "QUEUE_PREFIX": prefix,
            "BROKER_URL": broker.url,
            "REDIS_PORT": str(urlsplit(limits.url).port),
            "REDIS_PASSWORD": limits.password,
        }
        for name, value in documented_environment(server, **where).items():
            monkeypatch.setenv(name, value)
        throttle = CeleryThrottle()
        with programs(server, **where) as running:
            running.worker("--concurrency", "1", **PLAIN_WORKER)
            for _ in range(2):
                running.dispatcher()
            queue = throttle.create_queue("20/s")
            note = throttle.app.signature
            throttle.submit_many(queue, [note("note", (label, n)) for n in range(160)])
            outages: list[EmbeddedRabbitMQ | EmbeddedRedis] = [broker, limits, broker]
            for number, outage in enumerate(outages, 1):
                journal.wait_for_starts(label, 20 * number)
                outage.kill()
                outage.restart()
            wait_for_all(journal, label, 160)
            sizes = throttle.runtime.backlog.sizes(throttle.config.target_queue)
            assert sizes.waiting == 0
        close(throttle)


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
