"""One run: workers start, get tasks that lie ready in their broker, and are watched."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import Any

from celery import Celery

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.errors import EmbeddedServerError

from .book import Book, Start
from .fleet import Cpu, Fleet
from .variant import TASK_NAME, Variant, WorkerSetup

__all__ = ["Outcome", "Servers", "Trial", "run"]

READY_SECONDS = 60.0
STALLED_SECONDS = 30.0
"""How long no task may start before a run is given up: longer than any wait that is measured."""

STEP_SECONDS = 0.005
REPLY_SECONDS = 0.5

WATCHING = {"config", "info"}
"""Commands with which the benchmark looks at the limits' Redis; all others come from workers."""

SCRIPTS = ("evalsha", "eval")

_queue_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Servers:
    """``broker_url`` is where tasks lie, ``limits`` is the Redis that keeps nothing but limits."""

    broker_url: str
    limits: EmbeddedRedis


@dataclass(frozen=True, slots=True)
class Trial:
    """What runs: so many tasks on so many workers of so many pool processes each."""

    variant: Variant
    tasks: int
    processes: int
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen of a run.

    ``first`` and ``last`` are the processor times when the first and the third quarter of the tasks
    had started. ``commands`` counts by name what ran in the limits' Redis, in scripts and without.
    """

    starts: list[Start]
    first: Cpu
    last: Cpu
    commands: dict[str, int]

    @property
    def calls(self) -> int:
        """How often workers asked the limits' Redis: each question is a script."""
        return sum(self.commands.get(name, 0) for name in SCRIPTS)


def run(trial: Trial, servers: Servers) -> Outcome:
    """Runs a trial from its first process to its last.

    Raises EmbeddedServerError, with the end of a log, where workers do not start, end or stall.
    """
    home = Home()
    sender = Celery("sender", broker=servers.broker_url, set_as_current=False)
    queue = f"benchmark-{next(_queue_numbers)}"
    book = Book(home.path / "book", trial.tasks)
    setup = WorkerSetup(
        trial.variant, servers.broker_url, servers.limits.url, str(home.path / "book"), trial.tasks
    )
    try:
        fleet = Fleet(home, setup, workers=trial.workers, processes=trial.processes)
        try:
            _publish(sender, queue, trial.tasks)
            with servers.limits.client() as limits:
                return _watched(fleet, sender, queue, book, limits)
        finally:
            fleet.stop()
            _delete(sender, queue)
    finally:
        sender.close()
        book.close()
        home.close()


def _watched(fleet: Fleet, sender: Celery, queue: str, book: Book, limits: Any) -> Outcome:
    _wait_until_ready(fleet, sender)
    limits.flushall()
    limits.config_resetstat()
    sender.control.add_consumer(queue, reply=True, limit=fleet.size, timeout=READY_SECONDS)
    watch = _Watch(fleet, book)
    watch.wait_for(book.size // 4)
    first = fleet.cpu()
    watch.wait_for(book.size * 3 // 4)
    last = fleet.cpu()
    watch.wait_for(book.size)
    return Outcome(book.starts(), first, last, _commands(limits))


class _Watch:
    """Waits for tasks to start."""

    def __init__(self, fleet: Fleet, book: Book) -> None:
        self._fleet = fleet
        self._book = book
        self._started = 0  # All with a lower number have started.
        self._moved_at = time.monotonic()

    def wait_for(self, number: int) -> None:
        """Returns once the tasks before this one have started; raises where none does."""
        while self._advance(number) < number:
            self._fleet.check_alive()
            if time.monotonic() > self._moved_at + STALLED_SECONDS:
                raise EmbeddedServerError(
                    f"no task started for {STALLED_SECONDS:g} s after {self._started} of "
                    f"{self._book.size} had; run the benchmark on a machine with less to do"
                )
            time.sleep(STEP_SECONDS)

    def _advance(self, most: int) -> int:
        while self._started < most and self._book.has_started(self._started):
            self._started += 1
            self._moved_at = time.monotonic()
        return self._started


def _publish(sender: Celery, queue: str, tasks: int) -> None:
    with sender.producer_pool.acquire(block=True) as producer:
        for number in range(tasks):
            sender.send_task(TASK_NAME, (number,), queue=queue, producer=producer)


def _wait_until_ready(fleet: Fleet, sender: Celery) -> None:
    def check() -> None:
        fleet.check_alive()
        replies = sender.control.ping(timeout=REPLY_SECONDS, limit=fleet.size)
        if len(replies) < fleet.size:
            raise NotYetError(f"{len(replies)} of {fleet.size} workers answer")

    wait_for("workers that take tasks", check, timeout=READY_SECONDS)


def _delete(sender: Celery, queue: str) -> None:
    with sender.connection_for_write() as connection:
        connection.default_channel.queue_delete(queue)


def _commands(limits: Any) -> dict[str, int]:
    stats = limits.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return {
        name: number for name, number in calls.items() if name.partition("|")[0] not in WATCHING
    }
