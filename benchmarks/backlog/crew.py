"""The workers of a run: real ``celery worker`` processes that take tasks when they are told to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import psutil
from celery import Celery

from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.errors import EmbeddedServerError

from ..environment import environment_of
from .setup import WorkerSetup

__all__ = ["NOTHING", "Crew", "Size"]

NOTHING = "ratekit-nothing"  # the queue that workers consume until they are told another one
READY_SECONDS = 60.0
REPLY_SECONDS = 0.5
MEBIBYTE = 2**20

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Size:
    """So many workers, each of so many pool processes, for each of which it may take messages."""

    workers: int
    processes: int
    multiplier: int = 4


class Crew:
    """Prefork workers of one setup; ``app`` tells them what to do."""

    def __init__(self, home: Home, setup: WorkerSetup, size: Size, app: Celery) -> None:
        self._control = app.control
        name = f"crew-{next(_numbers)}"
        #: How Celery calls the workers.
        self.hostnames = [f"{name}-{number}@localhost" for number in range(size.workers)]
        self._processes = [
            ServerProcess(
                home,
                [
                    *(sys.executable, "-m", "celery", "-A", f"{__package__}.worker_app", "worker"),
                    *("--pool", "prefork", "--concurrency", str(size.processes)),
                    *("--prefetch-multiplier", str(size.multiplier), "--queues", NOTHING),
                    *("--hostname", hostname, "--loglevel", "WARNING"),
                    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                ],
                log=home.path / f"{hostname}.log",
                env=environment_of(home, setup.environment()),
            )
            for hostname in self.hostnames
        ]

    def wait_until_ready(self) -> None:
        """Returns when all workers answer; raises EmbeddedServerError where one does not."""
        wait_for("workers that take tasks", self._check_ready, timeout=READY_SECONDS)

    def check_alive(self) -> None:
        """Raises EmbeddedServerError, with the end of its log, where a worker has ended."""
        for process in self._processes:
            process.check_alive("a worker")

    def consume(self, queue: str, workers: Sequence[str] = ()) -> None:
        """Has all of the workers, or those that are named, take tasks from a queue."""
        self._tell("add_consumer", queue, workers)

    def cancel(self, queue: str, workers: Sequence[str] = ()) -> None:
        """Has them take no more tasks from a queue."""
        self._tell("cancel_consumer", queue, workers)

    def resident_mb(self) -> list[float]:
        """The resident memory of each worker's main process, MiB."""
        sizes = [psutil.Process(process.pid).memory_info().rss for process in self._processes]
        return [size / MEBIBYTE for size in sizes]

    def stop(self) -> None:
        """Ends all processes at once."""
        for process in self._processes:
            process.kill()

    def _check_ready(self) -> None:
        self.check_alive()
        replies = self._broadcast("ping", self.hostnames, REPLY_SECONDS)
        if len(replies) < len(self.hostnames):
            raise NotYetError(f"{len(replies)} of {len(self.hostnames)} workers answer")

    def _tell(self, command: str, queue: str, workers: Sequence[str]) -> None:
        names = list(workers) or self.hostnames
        replies = self._broadcast(command, names, READY_SECONDS, queue=queue)
        if len(replies) < len(names) or "error" in str(replies):
            raise EmbeddedServerError(f"expected a good answer to {command}, got {replies}")

    def _broadcast(
        self, command: str, names: Sequence[str], timeout: float, **arguments: Any
    ) -> list[Any]:
        replies: list[Any] | None = self._control.broadcast(
            command, arguments, list(names), reply=True, limit=len(names), timeout=timeout
        )
        return replies or []
