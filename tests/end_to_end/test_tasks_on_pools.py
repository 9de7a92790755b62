"""Every pool of Celery's, and a worker inside the test's own process."""

from __future__ import annotations

from typing import Any

import celery
import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from end_to_end.apps.limited import sender
from support.journal import Journal, granted, most_beyond
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis

pytestmark = [pytest.mark.redis, pytest.mark.workers]

TOLERANCE_SECONDS = 0.05

POOLS = {
    "solo": ("--pool", "solo"),
    "threads": ("--pool", "threads", "--concurrency", "4"),
    "gevent": ("--pool", "gevent", "--concurrency", "4"),
    "spawned": ("--concurrency", "2"),
}


def in_this_process(app: Celery) -> Any:
    """A worker in a thread; it sets the level of the root logger for all tests that follow."""
    return start_worker(app, perform_ping_check=False, loglevel="WARNING")


@pytest.mark.parametrize("pool", POOLS)
def test_limits_hold_in_every_pool(pool: str, redis_server: EmbeddedRedis, redis_url: str) -> None:
    conf = {}
    if pool == "gevent":
        pytest.importorskip("gevent")
    if pool == "spawned":
        if celery.VERSION < (5, 7):
            pytest.skip("this Celery cannot spawn its children")
        conf["worker_pool_start_method"] = "spawn"
    setup = Setup(redis_server.celery_url, redis_url, redis_server.celery_url_for(1), conf)
    journal = Journal(redis_url)

    with workers(setup, 1, *POOLS[pool]), sender(setup) as app:
        for number in range(12):
            app.tasks["note"].delay("pool", ["pool", "20/s"], number)
        failing = app.tasks["fails"].delay("fails", ["fails", "20/s"])
        tokens = app.tasks["tokens"].delay("tokens", 4)
        starts = journal.wait_for_starts("pool", 12)
        with pytest.raises(KeyError):
            failing.get(timeout=20)
        assert tokens.get(timeout=10) == [True, True, True, False]

    assert {start["number"] for start in starts} == set(range(12))
    assert most_beyond(granted(starts), 20) <= 1 + 20 * TOLERANCE_SECONDS
    assert [start["retries"] for start in journal.starts("fails")] == [0, 1, 2, 3]


def test_limits_hold_in_a_worker_inside_the_tests_own_process(
    redis_server: EmbeddedRedis, redis_url: str
) -> None:
    setup = Setup(redis_server.celery_url, redis_url)
    journal = Journal(redis_url)
    with sender(setup) as app, in_this_process(app):
        for number in range(4):
            app.tasks["note"].delay("inside", ["inside", "10/s"], number)
        failing = app.tasks["fails"].delay("fails", ["fails", "20/s"])

        starts = journal.wait_for_starts("inside", 4)
        retried = journal.wait_for_starts("fails", 4)

    assert [start["number"] for start in starts] == [0, 1, 2, 3]
    assert None not in {start["id"] for start in starts}
    assert most_beyond(granted(starts), 10) <= 1 + 10 * TOLERANCE_SECONDS
    assert [start["retries"] for start in retried] == [0, 1, 2, 3]
    assert {start["id"] for start in retried} == {failing.id}
