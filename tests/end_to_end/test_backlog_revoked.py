"""Tasks in the backlog that must not run any more do not, and their place goes to the next."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest
from celery import Celery
from end_to_end.apps.gate import MODULE
from support.given import journal
from support.journal import Journal, not_yet
from support.parked import app, backlog, wait_until_parked
from support.workers import Setup, workers

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for

__all__ = ["app", "backlog", "journal"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

QUEUE = "celery"
POOL = ("--concurrency", "2")


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    backend = private_redis.celery_url_for(1)
    conf = {"ratekit_overflow": "backlog"}
    return Setup(private_redis.celery_url, redis_url, backend, conf=conf, module=MODULE)


def test_a_revoked_task_leaves_the_backlog_and_never_runs_in_any_worker(
    setup: Setup, app: Celery, journal: Journal, backlog: Backlog
) -> None:
    label = uuid4().hex
    note = app.tasks["note"]
    with workers(setup, 1, *POOL):
        note.delay(label, [label, "1/2s", 1], 0)
        revoked, kept = [note.delay(label, [label, "1/2s", 1], number) for number in (1, 2)]
        wait_until_parked(backlog, QUEUE, 2)
        app.control.revoke(revoked.id)
        wait_for(
            "end of a revoked task",
            lambda: not_yet(backlog.locate(revoked.id, QUEUE) is not None),
            timeout=30,
        )
        wait_for(
            "result of a revoked task", lambda: not_yet(revoked.state != "REVOKED"), timeout=30
        )
    with workers(setup, 1, *POOL):  # which has never heard of it
        starts = journal.wait_for_starts(label, 2)

    assert [start["id"] for start in starts][1:] == [kept.id]
    assert [start["number"] for start in starts] == [0, 2]


def test_a_task_that_expires_while_it_waits_does_not_run_and_its_turn_goes_to_the_next(
    setup: Setup, app: Celery, journal: Journal, backlog: Backlog
) -> None:
    label = uuid4().hex
    bucket = [label, "1/2s", 1]
    with workers(setup, 1, *POOL):
        app.tasks["note"].delay(label, bucket, 0)
        expired = app.tasks["note"].apply_async((label, bucket, 1), expires=1.0)
        app.tasks["note"].delay(label, bucket, 2)

        starts = journal.wait_for_starts(label, 2)
        wait_until_parked(backlog, QUEUE, 0)

    assert [start["number"] for start in starts] == [0, 2]
    assert expired.state == "REVOKED"
    assert starts[1]["granted_at"] - starts[0]["granted_at"] < 3.9  # not the turn after its own


def test_a_task_with_an_eta_waits_for_that_and_then_for_its_turn(
    setup: Setup, app: Celery, journal: Journal, backlog: Backlog
) -> None:
    label = uuid4().hex
    bucket = [label, "1/2s", 1]
    eta = datetime.now(timezone.utc) + timedelta(seconds=4)
    with workers(setup, 1, *POOL):
        app.tasks["note"].apply_async((label, bucket, 0), eta=eta)
        journal.client.ping()
        app.tasks["note"].delay(label, bucket, 1)
        first = journal.wait_for_starts(label, 1)
        wait_for(
            "the task with an ETA in the backlog, or its start",
            lambda: not_yet(backlog.sizes(QUEUE).waiting == 0 and len(journal.starts(label)) < 2),
            timeout=30,
        )
        for number in range(2, 4):
            app.tasks["note"].delay(label, bucket, number)
        starts = journal.wait_for_starts(label, 4)

    assert first[0]["number"] == 1
    with_eta = next(start for start in starts if start["number"] == 0)
    assert with_eta["at"] >= eta.timestamp()
    assert [start["number"] for start in starts] == [1, 0, 2, 3]
