"""Workers that get tasks which lie ready in their broker, and are watched while they run them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.errors import EmbeddedServerError

from .book import Book, Start
from .fleet import Cpu, Fleet
from .sender import Sender
from .variant import Variant, WorkerSetup

__all__ = ["Crew", "Outcome", "Servers", "Trial", "running"]

READY_SECONDS = 60.0
STALLED_SECONDS = 90.0
"""How long no task may start before a run is given up: without the gate, all send themselves again
before the second one starts."""

STEP_SECONDS = 0.01
REPLY_SECONDS = 0.5

WATCHING = {"config", "info"}
"""Commands with which the benchmark looks at the limits' Redis; all others come from workers."""

SCRIPTS = ("evalsha", "eval")

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Servers:
    """``sender`` puts tasks into the broker; ``limits`` is the Redis that keeps only limits."""

    broker_url: str
    sender: Sender
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


class Crew:
    """The running workers of one trial, which can be given its tasks again and again."""

    def __init__(self, home: Home, trial: Trial, servers: Servers) -> None:
        path = home.path / f"book-{next(_numbers)}"
        self._book = Book(path, trial.tasks)
        setup = WorkerSetup(
            trial.variant, servers.broker_url, servers.limits.url, str(path), trial.tasks
        )
        self._sender = servers.sender
        self._limits = servers.limits.client()
        self._fleet = Fleet(
            home, setup, path.name, workers=trial.workers, processes=trial.processes
        )

    def wait_until_ready(self) -> None:
        """Returns when all workers answer; raises EmbeddedServerError where one does not."""
        wait_for("workers that take tasks", self._check_ready, timeout=READY_SECONDS)

    def _check_ready(self) -> None:
        self._fleet.check_alive()
        names = self._fleet.hostnames
        replies = self._sender.tell("ping", names, timeout=REPLY_SECONDS) or []
        if len(replies) < len(names):
            raise NotYetError(f"{len(replies)} of {len(names)} workers answer")

    def run(self) -> Outcome:
        """Lets the workers run all tasks; they lie in their queue before the first is taken.

        Raises EmbeddedServerError, with the end of a log, where workers end or stall.
        """
        self._book.clear()
        queue = self._sender.fill_queue(self._book.size)
        self._limits.flushall()
        self._limits.config_resetstat()
        self._tell("add_consumer", queue)
        outcome = self._watched()
        self._tell("cancel_consumer", queue)
        self._sender.delete(queue)
        return outcome

    def _tell(self, command: str, queue: str) -> None:
        """Has the workers take tasks from a queue, or no longer; on return they do."""
        names = self._fleet.hostnames
        replies = self._sender.tell(command, names, timeout=READY_SECONDS, queue=queue) or []
        if len(replies) < len(names) or "error" in str(replies):
            raise EmbeddedServerError(f"expected a good answer to {command}, got {replies}")

    def _watched(self) -> Outcome:
        watch = _Watch(self._fleet, self._book)
        watch.wait_for(self._book.size // 4)
        first = self._fleet.cpu()
        watch.wait_for(self._book.size * 3 // 4)
        last = self._fleet.cpu()
        watch.wait_for(self._book.size)
        return Outcome(self._book.starts(), first, last, _commands(self._limits))

    def stop(self) -> None:
        """Ends the workers."""
        self._fleet.stop()
        self._limits.close()
        self._book.close()


@contextmanager
def running(servers: Servers, *trials: Trial) -> Iterator[list[Crew]]:
    """The crews of some trials, all ready; gone at the end."""
    home = Home()
    crews: list[Crew] = []
    try:
        crews += [Crew(home, trial, servers) for trial in trials]
        for crew in crews:
            crew.wait_until_ready()
        yield crews
    finally:
        for crew in crews:
            crew.stop()
        home.close()


class _Watch:
    """Waits for tasks to start."""

    def __init__(self, fleet: Fleet, book: Book) -> None:
        self._fleet = fleet
        self._book = book
        self._started = 0
        self._moved_at = time.monotonic()

    def wait_for(self, count: int) -> None:
        """Returns once so many tasks have started; raises where none does."""
        while (started := self._book.count_started()) < count:
            self._fleet.check_alive()
            self._check_moving(started)
            time.sleep(STEP_SECONDS)

    def _check_moving(self, started: int) -> None:
        now = time.monotonic()
        if started > self._started:
            self._started, self._moved_at = started, now
        if now > self._moved_at + STALLED_SECONDS:
            raise EmbeddedServerError(
                f"no task started for {STALLED_SECONDS:g} s after {started} of {self._book.size} "
                "had; has this machine too much to do?"
            )


def _commands(limits: Any) -> dict[str, int]:
    stats = limits.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return {
        name: number for name, number in calls.items() if name.partition("|")[0] not in WATCHING
    }
