"""The workers of a run: real ``celery worker`` processes, and the processor time they use."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import psutil

from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess

from ..environment import environment_of
from .variant import WorkerSetup

__all__ = ["Cpu", "Fleet"]

NOTHING = (
    "ratekit-nothing"  # the queue that workers consume until they are told where the tasks are
)


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time used until a moment (``time.time()``), seconds, user and system together."""

    at: float
    parents_seconds: float
    children_seconds: float


class Fleet:
    """Prefork workers of one setup; they end with `stop`, or with the process that made them.

    ``name`` tells them from those of other fleets.
    """

    def __init__(
        self, home: Home, setup: WorkerSetup, name: str, *, workers: int, processes: int
    ) -> None:
        environment = environment_of(home, setup.environment())
        #: How Celery calls the workers.
        self.hostnames = [f"{name}-{number}@localhost" for number in range(workers)]
        self._processes = [
            ServerProcess(
                home,
                [
                    *(sys.executable, "-m", "celery", "-A", "benchmarks.gate.worker_app", "worker"),
                    *("--pool", "prefork", "--concurrency", str(processes), "--queues", NOTHING),
                    *("--hostname", hostname, "--loglevel", "WARNING"),
                    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                ],
                log=home.path / f"{hostname}.log",
                env=environment,
            )
            for hostname in self.hostnames
        ]

    def check_alive(self) -> None:
        """Raises EmbeddedServerError, with the end of its log, where a worker has ended."""
        for process in self._processes:
            process.check_alive("a worker")

    def cpu(self) -> Cpu:
        """What the workers have used so far."""
        parents = [psutil.Process(process.pid) for process in self._processes]
        children = [child for parent in parents for child in parent.children(recursive=True)]
        at = time.time()
        return Cpu(at, _seconds(parents), _seconds(children))

    def stop(self) -> None:
        """Ends all processes at once: nothing that they still hold is of any use."""
        for process in self._processes:
            process.kill()


def _seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times)
