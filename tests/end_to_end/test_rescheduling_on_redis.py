"""Without a gate: limited tasks in real workers; one Redis is broker, backend and limiter."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError
from end_to_end.apps.limited import sender
from support.given import journal, label
from support.journal import Journal, granted, most_beyond, not_yet
from support.workers import Setup, workers

from celery_ratekit import Concurrency, Limiter, TokenBucket
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

TOLERANCE_SECONDS = 0.05
"""How long may pass between the answer of the limiter and the first line of the body."""


@pytest.fixture(scope="module")
def setup(redis_executable: str) -> Iterator[Setup]:
    """Two workers of four processes on a Redis of their own."""
    with EmbeddedRedis(executable=redis_executable) as server:
        setup = Setup(
            broker=server.celery_url,
            backend=server.celery_url_for(1),
            journal=server.url_for(2),
            conf={
                "accept_content": ["json", "application/x-python-serialize"],
                "ratekit_gate": False,
            },
        )
        with workers(setup, 2, "--concurrency", "4"):
            yield setup


@pytest.fixture(scope="module")
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


def limiter_of(app: Celery) -> Limiter:
    limiter: Limiter = app.tasks["note"].ratekit.limiter
    return limiter


def test_eight_processes_keep_one_rate_and_run_every_task_once(
    app: Celery, journal: Journal, label: str
) -> None:
    sent = [app.tasks["note"].delay(label, [label, "40/s:4"], n) for n in range(100)]

    starts = journal.wait_for_starts(label, 100)

    assert most_beyond(granted(starts), 40) <= 4 + 40 * TOLERANCE_SECONDS
    assert sorted(result.get(timeout=10) for result in sent) == list(range(100))
    assert sorted(start["id"] for start in journal.starts(label)) == sorted(r.id for r in sent)
    assert {start["retries"] for start in starts} == {0}
    # One wait each, and another for those that came late behind messages not yet looked at.
    assert sum(journal.throttles(start["id"] for start in starts)) <= 300


def test_a_limited_chain_group_and_chord_complete_with_their_ids(
    app: Celery, journal: Journal, label: str
) -> None:
    add, bucket = app.tasks["add"], [label, "20/s"]
    chained = chain(add.s(1, 2, label, bucket), add.s(3, label, bucket), add.s(4, label, bucket))
    grouped = group(add.s(n, 1, label, bucket) for n in range(5))
    chorded = chord([add.s(n, 0, label, bucket) for n in range(5)], add.s(100, label, bucket))

    chain_result, group_result, chord_result = chained(), grouped(), chorded()

    assert chain_result.get(timeout=20) == 10
    assert group_result.get(timeout=20) == [1, 2, 3, 4, 5]
    assert chord_result.get(timeout=20) == 110
    starts = journal.wait_for_starts(label, 3 + 5 + 6)
    assert {chain_result.id, chord_result.id, *(one.id for one in group_result)} <= {
        start["id"] for start in starts
    }
    assert most_beyond(granted(starts), 20) <= 1 + 20 * TOLERANCE_SECONDS
    assert len(starts) == 14
    assert sum(journal.throttles(start["id"] for start in starts)) >= 10


@pytest.mark.parametrize(
    ("name", "runs"),
    [("fails", 4), ("fails_by_itself", 3)],
)
def test_throttling_spends_no_retry_and_each_real_retry_is_charged(
    name: str, runs: int, app: Celery, journal: Journal, label: str
) -> None:
    task, bucket = app.tasks[name], [label, "8/s"]
    results = [task.delay(label, bucket) for _ in range(3)]

    for result in results:
        with pytest.raises((KeyError, ZeroDivisionError)):
            result.get(timeout=30)

    starts = journal.wait_for_starts(label, 3 * runs)
    assert len(starts) == 3 * runs
    assert most_beyond(granted(starts), 8) <= 1 + 8 * TOLERANCE_SECONDS
    for result in results:
        assert [s["retries"] for s in starts if s["id"] == result.id] == list(range(runs))
        reasons = journal.reasons(result.id)
        assert sum("rate limit" not in reason for reason in reasons) == runs - 1
    assert sum(journal.throttles(result.id for result in results)) >= 2 * runs


def test_a_wait_changes_nothing_else_about_a_task(
    app: Celery, journal: Journal, label: str
) -> None:
    show, bucket = app.tasks["show"], [label, "3/s"]
    options: dict[str, Any] = {
        "headers": {"x-tenant": "acme"},
        "priority": 3,
        "expires": 60,
        "ignore_result": True,
        "shadow": "another name",
        "time_limit": 50,
        "soft_time_limit": 40,
        "argsrepr": "secret",
    }

    for _ in range(3):
        sig = show.s(label, bucket).set(**options)
        sig.stamp(monitor="m1")
        sig.apply_async()

    starts = journal.wait_for_starts(label, 3)
    first, *others = (start["shown"] for start in starts)
    assert sorted(journal.throttles(start["id"] for start in starts)) == [0, 1, 1]
    assert first["headers"] == {"x-tenant": "acme"}
    assert first["ignore_result"] is True
    assert first["stamps"] == {"monitor": "m1"}
    for other, start in zip(others, starts[1:], strict=True):
        assert other["root_id"] == start["id"]
        assert other["expires"] is not None
        own = {"root_id", "expires"}
        assert {k: v for k, v in other.items() if k not in own} == {
            k: v for k, v in first.items() if k not in own
        }


def test_a_task_that_expires_while_it_waits_does_not_run(
    app: Celery, journal: Journal, label: str
) -> None:
    note, bucket = app.tasks["note"], [label, "2/s"]
    note.delay(label, bucket, 0).get(timeout=10)
    note.delay(label, bucket, 1)
    journal.wait_for_throttles(label, 1)
    expired = note.apply_async((label, bucket, 2), expires=0.3)

    with pytest.raises(TaskRevokedError, match="expired"):
        expired.get(timeout=10)

    assert [start["number"] for start in journal.wait_for_starts(label, 2)] == [0, 1]


def test_arguments_that_only_the_senders_own_format_can_hold_survive_a_wait(
    app: Celery, journal: Journal, label: str
) -> None:
    for thing in ({1, 2}, {3}):
        app.tasks["note_type"].apply_async((label, [label, "3/s"], thing), serializer="pickle")

    assert [start["type"] for start in journal.wait_for_starts(label, 2)] == ["set", "set"]


def test_a_header_that_names_another_tasks_start_or_junk_grants_nothing(
    app: Celery, journal: Journal, label: str
) -> None:
    note, bucket = app.tasks["note"], [label, "4/s"]
    limit = TokenBucket(label, "4/s")
    limiter = limiter_of(app)
    stolen = limiter.reserve(limit, 1, 60, owner="somebody else")
    forged: list[Any] = [stolen.id, "", "x" * 10_000, 7, ["a"], {"a": 1}, None, "\x00}{"]

    for number, header in enumerate(forged):
        headers = {
            "ratekit_reservation": header,
            "ratekit_denials": header,
            "ratekit_admission": header,
            "ratekit_token_used": True,
        }
        note.apply_async((label, bucket, number), headers=headers)

    starts = journal.wait_for_starts(label, len(forged), timeout=20)
    assert {start["number"] for start in starts} == set(range(len(forged)))
    assert most_beyond(granted(starts), 4) <= 1 + 4 * TOLERANCE_SECONDS
    assert sum(journal.throttles(start["id"] for start in starts)) >= len(forged) - 1


def test_the_same_id_sent_twice_is_two_calls_for_the_limit(
    app: Celery, journal: Journal, label: str
) -> None:
    note, bucket = app.tasks["note"], [label, "5/s"]

    for number in range(4):
        note.apply_async((label, bucket, number), task_id=label)

    starts = journal.wait_for_starts(label, 4)
    assert [start["number"] for start in sorted(starts, key=itemgetter("number"))] == [0, 1, 2, 3]
    assert most_beyond(granted(starts), 5) <= 1 + 5 * TOLERANCE_SECONDS


def test_places_are_never_more_than_their_number_and_come_back_after_every_ending(
    app: Celery, journal: Journal, label: str
) -> None:
    endings = ["returns", "fails", "retries"] * 8
    for ending in endings:
        app.tasks["crowded"].delay(label, ending)

    starts = journal.wait_for_starts(label, 24 + 8)  # each that retries runs twice

    assert max(start["running"] for start in starts) == 3
    assert len(starts) == 32
    limiter = limiter_of(app)
    places = Concurrency("places", 3, key=label)
    wait_for(
        "places that were given back",
        lambda: not_yet(limiter.inspect(places)[0].available != 3),
        timeout=10,
    )


def test_several_limits_with_keys_from_the_call_hold_at_once(
    app: Celery, journal: Journal, label: str
) -> None:
    users = ["ann"] * 6 + ["bob"] * 4 + ["eve"]
    for user in users:
        app.tasks["per_user"].delay(label, user=user)

    starts = journal.wait_for_starts(label, len(users))

    for user in set(users):
        moments = sorted(s["at"] - s["lateness"] for s in starts if s["user"] == user)
        for first, fourth in zip(moments, moments[3:], strict=False):
            assert fourth - first > 2 - TOLERANCE_SECONDS
    assert {start["user"] for start in starts} == set(users)


def test_a_body_gets_the_token_of_its_start_once_and_others_while_there_are_any(
    app: Celery,
) -> None:
    assert app.tasks["tokens"].delay("tokens", 4).get(timeout=10) == [True, True, True, False]


def test_the_documented_token_bucket_task_runs_with_only_its_import_changed(app: Celery) -> None:
    charge = app.tasks["charge_customer"]

    results = [charge.delay("cus_1", n) for n in range(120)]

    assert [r.get(timeout=20) for r in results] == [f"cus_1 paid {n}" for n in range(120)]
    bucket = TokenBucket("stripe_api", 25, burst=100)
    assert charge.ratekit.limiter.inspect(bucket)[0].capacity == 100
