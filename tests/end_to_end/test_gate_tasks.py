"""Revoked, expired, delayed, retried, chained and forged: each task as without us, at its turn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError
from end_to_end.apps.gate import MODULE, sender
from support.delivery import runs_by_number
from support.given import journal, label
from support.held import NODE, reply_of, wait_until_held
from support.journal import Journal
from support.pace import LEAST_SHARE, check_exact, used_share
from support.traffic import published
from support.workers import Setup, workers

from celery_ratekit import Limiter, TokenBucket
from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

PER_SECOND = 10


@pytest.fixture(scope="module")
def setup(redis_executable: str) -> Iterator[Setup]:
    """One worker that receives all that is sent, on a Redis of its own."""
    with EmbeddedRedis(executable=redis_executable) as server:
        setup = Setup(
            server.celery_url,
            server.url_for(2),
            server.celery_url_for(1),
            {"worker_prefetch_multiplier": 0, "ratekit_rules": {"reveal": "1000/s"}},
            MODULE,
        )
        with workers(setup, 1, "--concurrency", "4"):
            yield setup


@pytest.fixture(scope="module")
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


def send(app: Celery, label: str, count: int, **options: Any) -> list[Any]:
    bucket = [label, PER_SECOND, 1]
    return [
        app.tasks["note"].apply_async((label, bucket, number), **options) for number in range(count)
    ]


def test_a_revoked_task_does_not_run_and_leaves_no_gap(
    app: Celery, journal: Journal, label: str
) -> None:
    limiter: Limiter = app.tasks["note"].ratekit.limiter
    limiter.freeze(TokenBucket(label, PER_SECOND, 1), 3_600)
    results = send(app, label, 20)
    wait_until_held(app, [result.id for result in results])
    revoked = [2, 3, 7, 12, 19]
    app.control.revoke(
        [results[number].id for number in revoked], destination=[NODE], reply=True, timeout=5
    )
    limiter.freeze(TokenBucket(label, PER_SECOND, 1), 0)

    starts = journal.wait_for_starts(label, 15)

    for number in revoked:
        with pytest.raises(TaskRevokedError):
            results[number].get(timeout=10)
    expected = [number for number in range(20) if number not in revoked]
    assert [start["number"] for start in starts] == expected
    assert len(journal.starts(label)) == 15
    check_exact(starts, PER_SECOND)
    assert used_share(starts, PER_SECOND) >= LEAST_SHARE


def test_a_task_that_expires_while_it_is_held_does_not_run_and_leaves_no_gap(
    app: Celery, journal: Journal, label: str
) -> None:
    note, bucket = app.tasks["note"], [label, PER_SECOND, 1]
    expiring = range(10, 20)  # Which would start a second later.
    results = [
        note.apply_async((label, bucket, number), expires=0.6 if number in expiring else None)
        for number in range(25)
    ]

    starts = journal.wait_for_starts(label, 15)

    for number in expiring:
        with pytest.raises(TaskRevokedError, match="expired"):
            results[number].get(timeout=10)
    assert [s["number"] for s in starts] == [n for n in range(25) if n not in expiring]
    check_exact(starts, PER_SECOND)
    assert used_share(starts, PER_SECOND) >= LEAST_SHARE


def test_delayed_tasks_wait_for_their_moment_and_then_for_their_turn(
    app: Celery, journal: Journal, label: str
) -> None:
    eta = datetime.now(timezone.utc) + timedelta(seconds=1.5)
    results = send(app, label, 8, eta=eta) + send(app, label, 4, countdown=2)

    starts = journal.wait_for_starts(label, 12)

    assert min(start["at"] for start in starts) >= eta.timestamp()
    assert min(start["granted_at"] for start in starts) >= eta.timestamp()
    assert sorted(start["id"] for start in starts) == sorted(result.id for result in results)
    check_exact(starts, PER_SECOND)
    assert published(journal, [result.id for result in results]) == 0


def test_a_delayed_task_does_not_hold_up_those_without_delay(
    app: Celery, journal: Journal, label: str
) -> None:
    send(app, label, 3, countdown=2)
    send(app, label, 10)

    starts = journal.wait_for_starts(label, 13)

    assert [start["number"] for start in starts] == [*range(10), 0, 1, 2]
    assert starts[9]["at"] - starts[0]["at"] <= 9 / PER_SECOND / LEAST_SHARE


def test_each_real_retry_is_charged_and_spends_only_itself(
    app: Celery, journal: Journal, label: str
) -> None:
    results = [app.tasks["fails"].delay(label, [label, PER_SECOND, 1]) for _ in range(4)]

    for result in results:
        with pytest.raises(KeyError):
            result.get(timeout=20)

    starts = journal.wait_for_starts(label, 12)
    check_exact(starts, PER_SECOND)
    for result in results:
        assert [s["retries"] for s in starts if s["id"] == result.id] == [0, 1, 2]
    assert published(journal, [result.id for result in results]) == 4 * 2
    assert journal.throttles(result.id for result in results) == [0] * 4


def test_a_chain_a_group_and_a_chord_complete_at_their_turns(
    app: Celery, journal: Journal, label: str
) -> None:
    add, bucket = app.tasks["add"], [label, PER_SECOND, 1]
    chained = chain(add.s(1, 2, label, bucket), add.s(3, label, bucket), add.s(4, label, bucket))()
    grouped = group(add.s(number, 1, label, bucket) for number in range(5))()
    header = [add.s(number, 0, label, bucket) for number in range(5)]
    chorded = chord(header, add.s(100, label, bucket))()

    assert chained.get(timeout=20) == 10
    assert grouped.get(timeout=20) == [1, 2, 3, 4, 5]
    assert chorded.get(timeout=20) == 110

    starts = journal.wait_for_starts(label, 3 + 5 + 6)
    assert len(starts) == len({start["id"] for start in starts}) == 14
    check_exact(starts, PER_SECOND)


def test_a_message_that_says_it_was_granted_is_charged_like_any_other(
    app: Celery, journal: Journal, label: str
) -> None:
    # What runs without a class of ours sees its headers, and must not learn the worker's key.
    assert "ratekit_grant" not in (app.tasks["reveal"].delay().get(timeout=10) or {})
    bucket = [label, PER_SECOND, 1]
    forged: list[Any] = [["", 0.0, 0, 0, "", False, []], ["a key"], "x", {"a": 1}, 7]

    for number, grant in enumerate(2 * forged):
        headers = {"ratekit_grant": grant, "ratekit_admission": "yes"}
        app.tasks["note"].apply_async((label, bucket, number), headers=headers)

    starts = journal.wait_for_starts(label, 10)
    assert runs_by_number(journal, label) == dict.fromkeys(range(10), 1)
    assert len({start["granted_at"] for start in starts}) == 10
    check_exact(starts, PER_SECOND)


def test_held_tasks_are_found_where_celery_shows_reserved_ones_and_by_their_ids(
    app: Celery, journal: Journal, label: str
) -> None:
    results = [app.tasks["note"].delay(label, [label, "1/h", 1], number) for number in range(3)]
    journal.wait_for_starts(label, 1)
    held = [result.id for result in results[1:]]
    wait_until_held(app, held)

    reserved = app.control.inspect([NODE], timeout=5).reserved()
    found = app.control.inspect([NODE], timeout=5).query_task(*held)
    shown = reply_of(app, "ratekit")

    assert set(held) <= {request["id"] for request in reserved[NODE]}
    assert {one: found[NODE][one][1]["id"] for one in held} == {one: one for one in held}
    assert {found[NODE][one][0] for one in held} <= {"scheduled", "reserved", "ready"}
    assert shown["slots"] == {"size": 4, "idle": 4}
    assert f"TokenBucket {label}" in [name for line in shown["lines"] for name in line["limits"]]
    app.control.revoke(held, destination=[NODE], reply=True, timeout=5)


@pytest.mark.rabbitmq
def test_late_acknowledged_tasks_are_acknowledged_once(
    rabbitmq: EmbeddedRabbitMQ, redis_server: EmbeddedRedis, redis_url: str, label: str
) -> None:
    conf = {"ratekit_redis_url": redis_server.url, "task_default_queue": label}
    setup, journal = Setup(rabbitmq.url, redis_url, conf=conf, module=MODULE), Journal(redis_url)
    with sender(setup) as app:
        with workers(setup, 1, "--concurrency", "4") as [worker]:
            for number in range(20):
                app.tasks["late_ack"].delay(label, [label, PER_SECOND, 1], number)
            starts = journal.wait_for_starts(label, 20)
            # RabbitMQ closes the channel on a second one, and the worker's next task would not run.
            app.tasks["plain"].delay(f"{label} after")
            journal.wait_for_starts(f"{label} after", 1)
            log = worker.log
        with app.connection_for_read() as connection:
            left = connection.default_channel.queue_declare(queue=label, passive=True).message_count

    assert left == 0
    assert "PRECONDITION_FAILED" not in log
    assert "Connection to broker lost" not in log
    assert runs_by_number(journal, label) == dict.fromkeys(range(20), 1)
    check_exact(starts, PER_SECOND)
