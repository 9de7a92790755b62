"""Real Celery workers as processes of their own, on an app of tests/end_to_end/apps."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celery import Celery
from support.journal import Journal
from support.processes import ROOT

from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess, tail
from celery_ratekit.embedded.waiting import NotYetError, wait_for

CONFIGURATION = "RATEKIT_TEST_CONFIGURATION"
GRACE_SECONDS = 10.0
LOG_LINES = 60  # of each worker, shown where a test fails
APP_MODULE = "end_to_end.apps.limited"

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Setup:
    """Where an app of the tests finds its servers; ``conf`` goes over everything else.

    ``module`` is the app that workers run.
    """

    broker: str
    journal: str
    backend: str | None = None
    conf: Mapping[str, Any] = field(default_factory=dict)
    module: str = APP_MODULE

    def environment(self) -> dict[str, str]:
        """What the app reads in a worker, without what would configure Celery otherwise."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CELERY")}
        text = json.dumps(
            {
                "broker": self.broker,
                "journal": self.journal,
                "backend": self.backend,
                "conf": dict(self.conf),
            }
        )
        return {
            **kept,
            "C_FORCE_ROOT": "1",  # where root runs the tests, and pickle is accepted
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)]),
            CONFIGURATION: text,
        }

    @classmethod
    def of_environment(cls) -> Setup:
        return cls(**json.loads(os.environ[CONFIGURATION]))

    def configure(self, app: Celery) -> None:
        app.conf.update(
            broker_url=self.broker,
            result_backend=self.backend,
            broker_connection_retry_on_startup=True,
            ratekit_overflow="hold",  # Tests of the backlog say so.
        )
        app.conf.update(self.conf)


class Worker:
    """One worker: its main process and the children of its pool."""

    def __init__(self, home: Home, setup: Setup, name: str, *arguments: str) -> None:
        self.log_path = home.path / f"{name}.log"
        self.process = ServerProcess(
            home,
            [
                *(sys.executable, "-m", "celery", "-A", setup.module, "worker"),
                *("--hostname", f"{name}@localhost", "--loglevel", "INFO"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                *arguments,
            ],
            log=self.log_path,
            env=setup.environment(),
        )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for_log(self, text: str, timeout: float = 30) -> None:
        """Wait until the worker has logged a text."""

        def check() -> None:
            if text not in self.log:
                raise NotYetError(f"no {text!r} in the log")

        wait_for("line in a worker's log", check, timeout=timeout)

    def stop(self) -> None:
        """Warm shutdown; by force if it takes long."""
        if self.process.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self.process.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        self.process.kill()

    def kill(self) -> None:
        """Kill the main process and its children at once, as a lost machine does."""
        self.process.kill()


@contextlib.contextmanager
def workers(setup: Setup, count: int = 1, *arguments: str) -> Iterator[list[Worker]]:
    """Running workers that take tasks; stopped at the end, and their logs printed for pytest."""
    home = Home()
    started: list[Worker] = []
    journal = Journal(setup.journal)
    try:
        started += [Worker(home, setup, f"w{number}", *arguments) for number in range(count)]
        missing = count
        while missing:
            missing -= journal.one_more_is_ready()
            for worker in started:
                worker.process.check_alive("a worker")
        yield started
    finally:
        for worker in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGTERM)
        for worker in started:
            worker.stop()
            print(f"--- {worker.log_path.name}\n{tail(worker.log_path, LOG_LINES)}")
        home.close()


def run_worker_to_its_end(
    setup: Setup, module: str, *, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """A worker that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", module, "worker", "--pool", "solo"],
        env=setup.environment(),
        cwd=Path("/"),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
