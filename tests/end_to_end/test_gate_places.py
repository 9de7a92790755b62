"""Places of a concurrency limit: never more are taken than there are, and each comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from end_to_end.apps.gated import MODULE, sender
from support.delivery import runs_by_number, wait_for_numbers
from support.fleet import Fleet, fleet, send_signal, wait_for_end
from support.given import label
from support.journal import Journal
from support.proxy import Proxy
from support.spans import most_at_once, spans, wait_for_ends
from support.workers import Setup, Worker

from celery_ratekit.embedded import EmbeddedRedis

__all__ = ["label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

POOLS = {
    "prefork": ("--pool", "prefork", "--concurrency", "4"),
    "threads": ("--pool", "threads", "--concurrency", "4"),
}
pools = pytest.mark.parametrize("pool", POOLS)

LONG_LEASE_SECONDS = 120
"""Longer than any test here: a place that comes back was given back."""

SHORT_LEASE_SECONDS = 2
TIME_LIMIT_SECONDS = 1
BACK_WITHIN_SECONDS = 30.0  # Celery itself may notice only after ten that a child has died.
LATENESS_SECONDS = 3.0
"""How much later than at the end of a lease a place may be used, on a busy machine."""


@pytest.fixture
def setup(redis_server: EmbeddedRedis, redis_url: str) -> Setup:
    return Setup(redis_server.celery_url, redis_url, module=MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


@pytest.fixture
def journal(redis_url: str) -> Journal:
    return Journal(redis_url)


def one_place(label: str, lease_seconds: float = LONG_LEASE_SECONDS) -> list[Any]:
    return [label, 1, lease_seconds]


def start_two(workers: Fleet) -> list[Worker]:
    """Two workers, each with a queue of its own: "first" and "second"."""
    pair = [workers.launch("--queues", name) for name in ("first", "second")]
    workers.wait_until_ready(2)
    return pair


def hold_the_place(app: Celery, journal: Journal, places: list[Any], **options: Any) -> Any:
    """The start of number 0, which has the place until it is told to end."""
    label = places[0]
    app.tasks["placed_until_told"].apply_async((label, places, 0), **options)
    return journal.wait_for_starts(label, 1)[0]


@pools
def test_all_processes_together_never_take_more_places_than_there_are(
    pool: str, setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    count, size = 60, 3
    with fleet(setup, *POOLS[pool]) as workers:
        for _ in range(2):
            workers.launch()
        workers.wait_until_ready(2)
        for number in range(count):
            app.tasks["placed"].delay(label, [label, size, LONG_LEASE_SECONDS], number, 0.1)
        wait_for_ends(journal, label, count)

    runs = spans(journal, label)
    assert most_at_once(runs) == size
    assert sorted(run.number for run in runs) == list(range(count))


def test_a_place_is_kept_for_as_long_as_its_task_runs(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    places = one_place(label, lease_seconds=1)
    with fleet(setup, *POOLS["prefork"]) as workers:
        workers.start()
        for number in range(2):
            app.tasks["placed"].delay(label, places, number, 2.5)
        wait_for_ends(journal, label, 2)

    assert most_at_once(spans(journal, label)) == 1


def kill_child(holder: dict[str, Any]) -> float:
    """Kills the process that runs the body; returns when."""
    moment = time.time()
    os.kill(holder["pid"], signal.SIGKILL)
    return moment


def let_time_run_out(holder: dict[str, Any]) -> float:
    """Leaves it to the body's time limit; returns when that is."""
    return float(holder["at"]) + TIME_LIMIT_SECONDS


@pytest.mark.parametrize(
    ("options", "end"),
    [({}, kill_child), ({"time_limit": TIME_LIMIT_SECONDS}, let_time_run_out)],
    ids=["killed", "out of time"],
)
def test_the_place_of_a_child_that_dies_comes_back_before_its_lease_ends(
    options: dict[str, Any],
    end: Callable[[dict[str, Any]], float],
    setup: Setup,
    app: Celery,
    journal: Journal,
) -> None:
    label = uuid4().hex
    places = one_place(label)
    with fleet(setup, *POOLS["prefork"]) as workers:
        workers.start()
        holder = hold_the_place(app, journal, places, **options)
        for number in (1, 2):
            app.tasks["placed"].delay(label, places, number)
        ended_at = end(holder)

        wait_for_numbers(journal, label, 3, timeout=BACK_WITHIN_SECONDS)
        wait_for_ends(journal, label, 2)

    assert runs_by_number(journal, label) == {0: 1, 1: 1, 2: 1}
    assert most_at_once(spans(journal, label, killed_at=ended_at)) == 1


def test_the_place_of_a_killed_worker_comes_back_when_its_lease_ends(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    places = one_place(label, SHORT_LEASE_SECONDS)
    with fleet(setup, *POOLS["prefork"]) as workers:
        first, _ = start_two(workers)
        hold_the_place(app, journal, places, queue="first")
        app.tasks["placed"].apply_async((label, places, 1), queue="second")
        first.kill()
        killed_at = time.time()

        starts = journal.wait_for_starts(label, 2, timeout=BACK_WITHIN_SECONDS)

    assert starts[1]["at"] - killed_at <= SHORT_LEASE_SECONDS + LATENESS_SECONDS


@pools
def test_a_worker_that_ends_in_order_keeps_its_place_until_its_task_is_done(
    pool: str, setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    places = one_place(label)
    with fleet(setup, *POOLS[pool]) as workers:
        first, _ = start_two(workers)
        hold_the_place(app, journal, places, queue="first")
        app.tasks["placed"].apply_async((label, places, 1), queue="second")
        send_signal(first, signal.SIGTERM)
        first.wait_for_log("Warm shutdown")
        journal.say(label, "end")

        journal.wait_for_starts(label, 2, timeout=BACK_WITHIN_SECONDS)
        wait_for_end(first)
        wait_for_ends(journal, label, 2)

    assert most_at_once(spans(journal, label)) == 1


def test_a_worker_that_ends_at_once_gives_back_the_place_of_its_task(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    places = one_place(label)
    with fleet(setup, *POOLS["prefork"]) as workers:
        first, _ = start_two(workers)
        hold_the_place(app, journal, places, queue="first")
        app.tasks["placed"].apply_async((label, places, 1), queue="second")
        send_signal(first, signal.SIGQUIT)
        before = time.time()

        journal.wait_for_starts(label, 2, timeout=BACK_WITHIN_SECONDS)
        wait_for_end(first)

    assert most_at_once(spans(journal, label, killed_at=before)) == 1


@pools
def test_a_place_outlasts_a_lost_connection_and_comes_back_after_it(
    pool: str, redis_executable: str, redis_url: str, journal: Journal, label: str
) -> None:
    places = one_place(label)
    with (
        EmbeddedRedis(tcp=True, executable=redis_executable) as broker,
        Proxy(broker.port) as proxy,
    ):
        setup = Setup(
            broker.celery_url.replace(str(broker.port), str(proxy.port)),
            redis_url,
            conf={
                "ratekit_redis_url": redis_url,
                "broker_transport_options": {
                    "visibility_timeout": 4,
                    "unacked_restore_interval": 1,
                    "unacked_restore_throttle": 1,
                },
            },
            module=MODULE,
        )
        with fleet(setup, *POOLS[pool]) as workers, sender(setup) as app:
            worker = workers.start()
            hold_the_place(app, journal, places)
            for number in (1, 2, 3):
                app.tasks["placed"].delay(label, places, number, 0.1)
            app.tasks["plain"].delay(f"before {label}")
            journal.wait_for_starts(f"before {label}", 1)

            assert proxy.drop() > 0
            worker.wait_for_log("Connection to broker lost")
            app.tasks["plain"].delay(f"after {label}")
            journal.wait_for_starts(f"after {label}", 1)
            assert len(journal.starts(label)) == 1
            journal.say(label, "end")

            wait_for_numbers(journal, label, 4)
            wait_for_ends(journal, label, 4)
            assert worker.process.alive

    runs = spans(journal, label)
    assert most_at_once(runs) == 1
    assert sorted(run.number for run in runs) == [0, 1, 2, 3]
