"""Why a task has not started yet, and when it will: asked from outside of the workers."""

from __future__ import annotations

from uuid import uuid4

import pytest
from end_to_end.apps.gate import MODULE, sender
from support.journal import Journal
from support.parked import backlog_of, wait_until_parked
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.explain import explain_task
from celery_ratekit.manager import RateLimitManager

pytestmark = [pytest.mark.redis, pytest.mark.workers]

QUEUE = "celery"
SECONDS_BETWEEN = 10.0
REPLY_SECONDS = 10.0
"""A worker that is slow to answer is waited for; whoever asks waits for so long in any case."""


def make_setup(private_redis: EmbeddedRedis, redis_url: str, overflow: str) -> Setup:
    conf = {"ratekit_overflow": overflow, "ratekit_rules": {"plain": "6/m"}}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


def test_a_task_in_the_backlog_is_explained_with_its_estimated_start(
    private_redis: EmbeddedRedis, redis_url: str
) -> None:
    label, journal = uuid4().hex, Journal(redis_url)
    setup = make_setup(private_redis, redis_url, "auto")
    with (
        workers(setup, 1, "--concurrency", "2"),
        backlog_of(private_redis.url) as backlog,
        sender(setup) as app,
    ):
        ids = [app.tasks["plain"].delay(label, number).id for number in range(5)]
        wait_until_parked(backlog, QUEUE, 4)
        last = explain_task(app, ids[4])
        same = RateLimitManager(app).explain(ids[4])
        shown = app.control.inspect(timeout=REPLY_SECONDS, limit=1)._request("ratekit")
        RateLimitManager(app).pause("plain")
        paused = explain_task(app, ids[4])

    assert last is not None
    assert paused is not None
    assert (last.state, last.queue, last.task) == ("waiting", QUEUE, "plain")
    assert (last.limit_name, last.before) == ("plain", 3)
    assert last.starts_in_seconds is not None
    assert 2 * SECONDS_BETWEEN < last.starts_in_seconds <= 4 * SECONDS_BETWEEN
    assert same.before == last.before
    assert shown is not None
    assert shown["w0@localhost"]["backlog"]["queues"] == {
        QUEUE: {"waiting": 4, "claimed": 0, "limits": {"plain": 4}}
    }
    assert "waits for the limit 'plain', 3 come before it" in str(last)
    assert (paused.reason, paused.starts_in_seconds) == ("paused", None)
    assert len(journal.starts(label)) == 1


def test_a_task_that_a_worker_has_is_explained_by_it(
    private_redis: EmbeddedRedis, redis_url: str
) -> None:
    label, journal = uuid4().hex, Journal(redis_url)
    setup = make_setup(private_redis, redis_url, "hold")
    with workers(setup, 1, "--concurrency", "2"), sender(setup) as app:
        ids = [app.tasks["plain"].delay(label, number).id for number in range(5)]
        running = app.tasks["plain_until_told"].delay(label)
        journal.wait_for_starts(label, 1)
        journal.wait_for_starts(f"{label} blocked", 1)
        last = explain_task(app, ids[4], reply_seconds=REPLY_SECONDS)
        blocked = explain_task(app, running.id, reply_seconds=REPLY_SECONDS)
        unknown = explain_task(app, uuid4().hex, reply_seconds=REPLY_SECONDS)
        journal.say(label, "go on")

    assert last is not None
    assert blocked is not None
    assert (last.state, last.worker, last.task) == ("held", "w0@localhost", "plain")
    assert (last.limit_name, last.before, last.reason) == ("plain", 3, "rate")
    assert last.starts_in_seconds is not None
    assert 2 * SECONDS_BETWEEN < last.starts_in_seconds <= 4 * SECONDS_BETWEEN
    assert (blocked.state, blocked.starts_in_seconds) == ("running", None)
    assert unknown is None
