"""Every pool of Celery's, and every way to set one up, keeps the rate and runs each task once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import celery
import pytest
from end_to_end.apps.gate import MODULE, sender
from support.delivery import runs_by_number
from support.journal import Journal, not_yet
from support.pace import LEAST_SHARE, check_exact, check_not_saved_up, used_share
from support.traffic import published
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.workers]

PER_SECOND = 20
COUNT = 30

SLOW = "one task per child"
"""A new process for each task takes longer than the rate allows: no share can be asked of it."""

POOLS: dict[str, tuple[str, ...]] = {
    "prefork": ("--pool", "prefork", "--concurrency", "4"),
    "threads": ("--pool", "threads", "--concurrency", "4"),
    "solo": ("--pool", "solo"),
    "gevent": ("--pool", "gevent", "--concurrency", "4"),
    "eventlet": ("--pool", "eventlet", "--concurrency", "4"),
    SLOW: ("--concurrency", "4", "--max-tasks-per-child", "1"),
    "spawned": ("--concurrency", "2"),
    "without putlocks": ("--concurrency", "4"),
    "without prefetch": ("--concurrency", "4"),
    "one by one": ("--concurrency", "1"),
}
CONF: dict[str, Mapping[str, Any]] = {
    "spawned": {"worker_pool_start_method": "spawn"},
    "without putlocks": {"worker_pool_putlocks": False},
    "without prefetch": {"worker_disable_prefetch": True},
    "one by one": {"worker_prefetch_multiplier": 1},
}
NEED_CELERY = {"spawned": (5, 7), "without prefetch": (5, 6)}


def setup_of(server: EmbeddedRedis, journal: str, **conf: Any) -> Setup:
    return Setup(server.celery_url, journal, conf=conf, module=MODULE)


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_keeps_the_rate_and_runs_each_task_once(
    pool: str, redis_server: EmbeddedRedis, redis_url: str
) -> None:
    if pool in ("gevent", "eventlet"):
        pytest.importorskip(pool, exc_type=ImportError)
    if NEED_CELERY.get(pool, ()) > celery.VERSION:
        pytest.skip("this Celery does not know the setting")
    setup, journal = setup_of(redis_server, redis_url, **CONF.get(pool, {})), Journal(redis_url)

    with workers(setup, 1, *POOLS[pool]), sender(setup) as app:
        task_ids = [
            app.tasks["note"].delay("pool", ["pool", PER_SECOND, 1], number).id
            for number in range(COUNT)
        ]
        starts = journal.wait_for_starts("pool", COUNT)

    assert runs_by_number(journal, "pool") == dict.fromkeys(range(COUNT), 1)
    check_exact(starts, PER_SECOND)
    check_not_saved_up(starts, PER_SECOND)
    assert pool == SLOW or used_share(starts, PER_SECOND) >= LEAST_SHARE
    assert published(journal, task_ids) == 0


def test_autoscale_grows_under_limited_tasks(redis_server: EmbeddedRedis, redis_url: str) -> None:
    setup, journal = setup_of(redis_server, redis_url), Journal(redis_url)

    with workers(setup, 1, "--autoscale", "4,1") as [worker], sender(setup) as app:
        for number in range(COUNT):  # Of which six would run at a time.
            app.tasks["note"].delay("grows", ["grows", PER_SECOND, 1], number, seconds=0.3)
        starts = journal.wait_for_starts("grows", COUNT)

        assert "Scaling up" in worker.log

    assert len({start["pid"] for start in starts}) == 4
    assert runs_by_number(journal, "grows") == dict.fromkeys(range(COUNT), 1)
    check_exact(starts, PER_SECOND)
    check_not_saved_up(starts, PER_SECOND)


def test_held_tasks_alone_do_not_make_the_pool_grow(
    redis_server: EmbeddedRedis, redis_url: str
) -> None:
    setup, journal = setup_of(redis_server, redis_url), Journal(redis_url)

    with workers(setup, 1, "--autoscale", "4,1") as [worker], sender(setup) as app:
        for number in range(4):
            app.tasks["note"].delay("held", ["held", "1/h", 1], number)
        journal.wait_for_starts("held", 1)
        wait_for("receipt of all", lambda: not_yet(worker.log.count("received") < 4), timeout=30)
        app.tasks["plain"].delay("plain")
        journal.wait_for_starts("plain", 1)

        grown = sum(map(int, re.findall(r"Scaling up (\d+) processes", worker.log)))
        # Celery counts what just came with what runs, before anybody can say that it is held.
        assert grown <= 1
