"""Workers with the gate pull from throttled queues by themselves, and the counts are true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from uuid import uuid4

import pytest
from celery import chain, group
from support.journal import Journal, most_beyond, not_yet
from support.throttled import (
    REDELIVERED_AFTER,
    Programs,
    close,
    documented_environment,
    programs,
    stop,
    wait_for_stats,
)

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.throttle import CeleryThrottle, QueueStats

pytestmark = [pytest.mark.redis, pytest.mark.workers]

LATENESS_SECONDS = 0.15
"""How far a start may lie from its grant on a busy machine."""


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


def _has_completed(count: int, stats: QueueStats) -> bool:
    return stats.tasks_completed == count


def test_two_workers_start_what_waits_at_the_rate_of_its_queue(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    for _ in range(2):
        running.worker("--concurrency", "2")
    queue = throttle.create_queue("20/s")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(100)])
    starts = journal.wait_for_starts(label, 100)
    moments = [start["at"] for start in starts]
    assert most_beyond(moments, 20) <= 1 + 20 * LATENESS_SECONDS
    # 99 more starts at 20 a second; a worker has learned of them after a moment.
    assert 4.95 - LATENESS_SECONDS <= moments[-1] - moments[0] < 6.5
    assert len({start["worker"] for start in starts}) == 2
    stats = wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 100)
    assert (stats.tasks_waiting, stats.tasks_processing, stats.tasks_failed) == (0, 0, 0)


def test_what_is_sent_at_once_is_not_charged_twice(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1")
    queue = throttle.create_queue("1/1h:3")
    for number in range(3):
        throttle.submit(queue, throttle.app.signature("note", (label, number)))
        wait_for_stats(throttle, queue, partial(_has_completed, number + 1))
    assert throttle.get_queue_stats(queue).tasks_waiting == 0


def test_results_retries_failures_and_chains_are_as_without_a_queue(
    throttle: CeleryThrottle, running: Programs, label: str
) -> None:
    running.worker("--concurrency", "2")
    queue = throttle.create_queue("50/s:10")
    app = throttle.app
    assert throttle.submit(queue, app.signature("add", (1, 2))).get(timeout=30) == 3
    steps = chain(*(app.signature("add", (n,)) for n in (1, 2, 3)))
    assert throttle.submit(queue, steps).get(timeout=30) == 6
    both = group(app.signature("add", (n,)) for n in (4, 5))
    assert throttle.submit(queue, both).get(timeout=30) == [4, 5]
    throttle.submit(queue, app.signature("try_again", (label,))).get(timeout=30)
    with pytest.raises(ValueError, match="as asked"):
        throttle.submit(queue, app.signature("fail", (label,))).get(timeout=30)
    # 1 + 3 of the chain + 2 of the group + 1 that was tried again, and 1 that failed.
    stats = wait_for_stats(
        throttle, queue, lambda one: (one.tasks_completed, one.tasks_failed) == (7, 1)
    )
    assert (stats.tasks_waiting, stats.tasks_processing) == (0, 0)


def test_counts_are_true_after_children_were_killed(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    # A worker takes up to ten seconds to see that a process is gone; the message must not be back.
    running.worker("--concurrency", "1", **{REDELIVERED_AFTER: "600"})
    queue = throttle.create_queue("100/s:5")
    throttle.submit(queue, throttle.app.signature("die", (label,)))
    throttle.submit(queue, throttle.app.signature("die_once", (label,)))
    throttle.submit(queue, throttle.app.signature("note", (label,)))
    stats = wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 2)
    assert (stats.tasks_waiting, stats.tasks_processing, stats.tasks_failed) == (0, 0, 1)
    assert len(journal.wait_for_starts(label, 4)) == 4


def test_counts_are_true_after_a_worker_was_killed(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    killed = running.worker("--concurrency", "2")
    queue = throttle.create_queue("20/s:2")
    signatures = [throttle.app.signature("note", (label, n, 0.2)) for n in range(30)]
    throttle.submit_many(queue, signatures)
    journal.wait_for_starts(label, 5)
    killed.kill()
    stats = throttle.get_queue_stats(queue)
    assert stats.tasks_waiting + stats.tasks_processing + stats.tasks_completed == 30
    running.worker("--concurrency", "4")
    # What it had taken from the backlog comes back after half a minute.
    stats = wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 30, timeout=90)
    assert (stats.tasks_waiting, stats.tasks_processing, stats.tasks_failed) == (0, 0, 0)
    assert {start["number"] for start in journal.starts(label)} == set(range(30))


def test_a_deactivated_queue_starts_nothing_until_it_is_activated(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1")
    queue = throttle.create_queue("20/s")
    other = throttle.create_queue("20/s")
    throttle.deactivate_queue(queue)
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(5)])
    throttle.submit_many(other, [note("note", (f"{label} other", n)) for n in range(5)])
    journal.wait_for_starts(f"{label} other", 5)
    assert journal.starts(label) == []
    throttle.activate_queue(queue)
    journal.wait_for_starts(label, 5, timeout=10)


def test_a_raised_rate_counts_for_what_waits(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1")
    queue = throttle.create_queue("1/1h")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(10)])
    journal.wait_for_starts(label, 1)
    throttle.update_rate_limit(queue, "50/s")
    starts = journal.wait_for_starts(label, 10, timeout=10)
    assert [start["number"] for start in starts] == list(range(10))


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
def test_workers_of_other_pools_start_what_waits_and_hear_of_changes(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str, pool: str
) -> None:
    if pool == "gevent":
        pytest.importorskip(pool, exc_type=ImportError)
    target = throttle.config.target_queue
    running.celery_worker("--pool", pool, "--concurrency", "1", "--queues", target)
    queue = throttle.create_queue("1/1h")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(10)])
    journal.wait_for_starts(label, 1)
    throttle.update_rate_limit(queue, "50/s")
    starts = journal.wait_for_starts(label, 10, timeout=10)
    assert [start["number"] for start in starts] == list(range(10))
    stats = wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 10)
    assert (stats.tasks_waiting, stats.tasks_processing, stats.tasks_failed) == (0, 0, 0)


def test_what_was_sent_while_no_worker_was_there_goes_before_those_that_wait(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    queue = throttle.create_queue("4/s:3")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(12)])
    running.worker("--concurrency", "1")
    starts = journal.wait_for_starts(label, 12)
    numbers = [start["number"] for start in starts]
    assert [number for number in numbers if number < 3] == [0, 1, 2]
    assert [number for number in numbers if number >= 3] == list(range(3, 12))
    # The worker may look into the backlog before its broker delivers: for the tokens of one burst
    # and what is promised within one horizon.
    assert numbers.index(2) <= 2 + 3 + 4
    moments = [start["at"] for start in starts]
    assert most_beyond(moments, 4) <= 3 + 4 * LATENESS_SECONDS


def test_a_task_that_is_revoked_or_expires_while_it_waits_has_failed(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    running.worker("--concurrency", "1")
    queue = throttle.create_queue("1/1h")
    note = throttle.app.signature
    throttle.submit(queue, note("note", (label, 0)))
    revoked = throttle.submit(queue, note("note", (label, 1)))
    expires_at = datetime.now(timezone.utc) + timedelta(seconds=0.2)
    throttle.submit(queue, note("note", (label, 2)).set(expires=expires_at))
    throttle.submit(queue, note("note", (label, 3)))
    journal.wait_for_starts(label, 1)
    throttle.app.control.revoke(revoked.id)
    wait_for_stats(throttle, queue, lambda one: one.tasks_failed == 1)
    wait_for("its expiry", lambda: not_yet(datetime.now(timezone.utc) <= expires_at), timeout=5)
    throttle.update_rate_limit(queue, "50/s")
    stats = wait_for_stats(
        throttle, queue, lambda one: (one.tasks_completed, one.tasks_failed) == (2, 2)
    )
    assert (stats.tasks_waiting, stats.tasks_processing) == (0, 0)
    assert [start["number"] for start in journal.starts(label)] == [0, 3]


def test_what_was_acknowledged_and_died_with_its_worker_has_failed(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    killed = running.worker("--concurrency", "3")
    queue = throttle.create_queue("100/s:2")
    note = throttle.app.signature
    # Two are sent, one is pulled; a fourth is acknowledged late, and comes again.
    throttle.submit_many(queue, [note("note_early", (label, n, 600)) for n in range(3)])
    throttle.submit(queue, note("note_early", (label, 3, 0)))
    journal.wait_for_starts(label, 3)
    killed.kill()
    running.worker("--concurrency", "1")
    assert throttle.get_queue_stats(queue).tasks_failed == 0
    # Its worker is taken for dead after half a minute without a sign of life.
    stats = wait_for_stats(throttle, queue, lambda one: one.tasks_failed == 3, timeout=90)
    assert (stats.tasks_waiting, stats.tasks_processing, stats.tasks_completed) == (0, 0, 1)


def test_the_workers_are_told_of(
    throttle: CeleryThrottle, running: Programs, journal: Journal, label: str
) -> None:
    assert not throttle.is_worker_infrastructure_healthy()
    worker = running.worker("--concurrency", "1", command="dedicated-worker")
    queue = throttle.create_queue("1/1h")
    note = throttle.app.signature
    throttle.submit_many(queue, [note("note", (label, n)) for n in range(4)])
    journal.wait_for_starts(label, 1)
    (info,) = throttle.get_worker_info().values()
    target = throttle.config.target_queue
    assert (info.status, info.queue_sizes) == ("online", {target: 3})
    summary = throttle.get_worker_queue_summary()
    assert summary[target].total_size == 3
    assert summary[target].workers_listening == (info.name,)
    assert throttle.is_worker_infrastructure_healthy()
    assert throttle.get_worker_count() == 1
    stop(worker)


def test_the_commands_do_what_the_methods_do(
    throttle: CeleryThrottle, running: Programs, journal: Journal
) -> None:
    running.worker("--concurrency", "1")
    ask = running.ask
    name = ask("queue", "create", "10/1m").stdout.strip()
    assert name in ask("queue", "list").stdout
    assert ask("queue", "test", name, "5").stdout == "1 sent now, 4 wait\n"
    wait_for_stats(throttle, name, lambda one: one.tasks_completed == 1)
    shown = ask("queue", "show", name).stdout
    assert "waiting     4" in shown
    assert "rate        10/1m" in shown
    assert ask("queue", "deactivate", name).returncode == 0
    assert "inactive" in ask("queue", "list").stdout
    assert ask("queue", "activate", name).returncode == 0
    assert ask("queue", "update", name, "20/60s").returncode == 0
    assert str(throttle.list_queues()[0].rate_limit) == "20/60s"
    assert ask("queue", "update", name, "20/min").returncode == 2
    assert ask("queue", "show", "nobody").returncode == 1
    assert ask("queue", "remove", name).returncode == 1  # Nobody said yes.
    assert ask("queue", "remove", name, "--yes").returncode == 0
    assert throttle.list_queues() == []
    status = ask("worker-status", "--detailed")
    assert status.returncode == 0, status.stderr
    assert throttle.config.target_queue in status.stdout
    assert ask("--queue-prefix", "nobody-s", "worker-status").returncode == 1
