"""What Celery's monitors see of tasks that wait for their limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from celery.events.state import State
from end_to_end.apps.gate import MODULE, sender
from support.given import journal, label
from support.journal import Journal, not_yet
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.worker.observing.events import EVENT, MOST_PER_SECOND

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]


@pytest.fixture(params=["hold", "backlog"])
def setup(request: pytest.FixtureRequest, private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"ratekit_overflow": request.param, "ratekit_redis_url": private_redis.url}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


class Monitor:
    """Keeps the state that Flower and ``celery events`` keep, and every event."""

    def __init__(self) -> None:
        self.state = State()
        self.events: list[dict[str, Any]] = []

    def on_event(self, event: dict[str, Any]) -> None:
        self.events.append(dict(event))
        self.state.event(event)

    def announced(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == EVENT]

    def shown(self, task_id: str) -> tuple[str, str | None]:
        """The state and the result of a task."""
        task = self.state.tasks.get(task_id)
        return ("", None) if task is None else (task.state, task.result)

    def wait_until(self, task_id: str, state: str, text: str) -> None:
        def check() -> None:
            shown_state, result = self.shown(task_id)
            is_shown = shown_state == state and text in str(result)
            not_yet(missing=not is_shown, what=f"{shown_state} {result}")

        wait_for("state in a monitor", check, timeout=30)


@contextmanager
def monitor(app: Celery) -> Iterator[Monitor]:
    """Listens to the events of an app's workers."""
    ours, stopped = Monitor(), threading.Event()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": ours.on_event})
        begun = threading.Event()

        def listen() -> None:
            with receiver.consumer_context() as (own, _, _):
                begun.set()
                while not stopped.is_set():
                    try:
                        own.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

        thread = threading.Thread(target=listen)
        thread.start()
        assert begun.wait(10)
        try:
            yield ours
        finally:
            stopped.set()
            thread.join()


def test_monitors_show_who_waits_for_what_and_until_when(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with monitor(app) as seen, workers(setup, 1, "-E", "--concurrency", "2"):
        begun = time.time()
        first, second = (
            app.tasks["note"].delay(label, [label, "1/4s", 1], number).id for number in range(2)
        )
        journal.wait_for_starts(label, 1)
        seen.wait_until(second, "RECEIVED", f"waits for rate limit '{label}', starts about 2")
        assert seen.shown(first)[0] in ("STARTED", "SUCCESS", "RECEIVED")

        journal.wait_for_starts(label, 2)
        seen.wait_until(second, "SUCCESS", "None")
        [event] = seen.announced()

    assert (event["uuid"], event["rate_limit"]) == (second, label)
    assert begun + 2 < event["estimated_start"] < time.time() + 4


def test_a_task_that_waits_and_is_revoked_is_shown_as_revoked(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with monitor(app) as seen, workers(setup, 1, "-E", "--concurrency", "2"):
        app.tasks["note"].delay(label, [label, "1/h", 1], 0)
        journal.wait_for_starts(label, 1)
        waits = app.tasks["note"].delay(label, [label, "1/h", 1], 1).id
        seen.wait_until(waits, "RECEIVED", "waits for rate limit")

        app.control.revoke(waits)
        seen.wait_until(waits, "REVOKED", "")


def test_a_worker_that_sends_no_events_of_tasks_sends_none_of_those_that_wait(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with monitor(app) as seen, workers(setup, 1, "--concurrency", "2"):
        for number in range(3):
            app.tasks["note"].delay(label, [label, 5, 1], number)
        journal.wait_for_starts(label, 3)

    # Those of the worker itself came, as far as it lived for long enough to send some.
    assert {event["type"] for event in seen.events} <= {"worker-online", "worker-offline"}


def test_many_that_wait_do_not_flood_the_monitors(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    count = 4 * MOST_PER_SECOND
    with (
        monitor(app) as seen,
        workers(setup, 1, "-E", "--concurrency", "2", "--prefetch-multiplier", "100") as [worker],
    ):
        begun = time.monotonic()
        for number in range(count):
            app.tasks["note"].delay(label, [label, "1/h", 1], number)
        wait_for("receipt", lambda: not_yet(worker.log.count("received") < count), timeout=30)
        last = app.tasks["plain"].delay(f"{label} plain").id
        seen.wait_until(last, "SUCCESS", "None")
        seconds = time.monotonic() - begun
        announced = len(seen.announced())

    assert 0 < announced < count
    assert announced <= (seconds + 2) * MOST_PER_SECOND
