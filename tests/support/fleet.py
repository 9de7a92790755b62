"""Workers that a test starts, ends and replaces one by one."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from support.journal import Journal, not_yet
from support.workers import LOG_LINES, Setup, Worker

from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import tail
from celery_ratekit.embedded.waiting import wait_for

END_SECONDS = 20.0
"""How long a worker may take to end after a signal; a busy machine takes a few seconds."""


class Fleet:
    """The workers of one test, each with a name of its own."""

    def __init__(self, home: Home, setup: Setup, *arguments: str) -> None:
        self._home = home
        self._setup = setup
        self._arguments = arguments
        self._journal = Journal(setup.journal)
        self.workers: list[Worker] = []

    def launch(self, *arguments: str) -> Worker:
        """A new worker, which may not be ready yet; ``arguments`` beside those of the fleet."""
        name = f"w{len(self.workers)}"
        worker = Worker(self._home, self._setup, name, *self._arguments, *arguments)
        self.workers.append(worker)
        return worker

    def start(self, *arguments: str) -> Worker:
        """A new worker that takes tasks."""
        worker = self.launch(*arguments)
        self.wait_until_ready(1)
        return worker

    def wait_until_ready(self, count: int) -> None:
        """Waits until the last ``count`` workers that were launched take tasks."""
        missing = count
        while missing:
            missing -= self._journal.one_more_is_ready()
            for worker in self.workers[-count:]:
                worker.process.check_alive("a worker")

    def close(self) -> None:
        """Kills all that still run, and prints the ends of their logs for pytest."""
        for worker in self.workers:
            worker.kill()
            print(f"--- {worker.log_path.name}\n{tail(worker.log_path, LOG_LINES)}")


@contextlib.contextmanager
def fleet(setup: Setup, *arguments: str) -> Iterator[Fleet]:
    """A fleet without workers yet; ``arguments`` are for all that it gets."""
    home = Home()
    ours = Fleet(home, setup, *arguments)
    try:
        yield ours
    finally:
        ours.close()
        home.close()


def send_signal(worker: Worker, number: signal.Signals) -> None:
    """Sends a signal to the main process of a worker alone."""
    os.kill(worker.process.pid, number)


def wait_for_end(worker: Worker) -> None:
    """Waits until a worker has ended by itself."""
    wait_for("end of a worker", lambda: not_yet(worker.process.alive), timeout=END_SECONDS)
