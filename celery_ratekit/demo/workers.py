"""The demo's workers: real ``celery worker`` processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import TracebackType

import celery_ratekit

from ..embedded.home import Home
from ..embedded.process import ServerProcess
from ..errors import EmbeddedServerError
from .interruption import Interruption
from .journal import Journal
from .plan import Plan

__all__ = ["BURST", "GATE", "RATE", "URL", "Workers"]

# Names in the workers' environment.
URL = "RATEKIT_DEMO_URL"
RATE = "RATEKIT_DEMO_RATE"
BURST = "RATEKIT_DEMO_BURST"
GATE = "RATEKIT_DEMO_GATE"

READY_TIMEOUT_SECONDS = 60.0
READY_STEP_SECONDS = 0.1  # how often a wait for the workers looks whether it was interrupted
GRACE_SECONDS = 5.0  # how long the workers' warm shutdown may take,
INTERRUPTED_GRACE_SECONDS = 2.0  # and how long where somebody waits for it after Ctrl-C
STOP_STEP_SECONDS = 0.02


class Workers:
    """Prefork workers, their logs in a private directory; gone with the process that made them.

    ``interruption`` is looked at while they start, and shortens their end when it comes twice.
    """

    def __init__(self, broker_url: str, plan: Plan, interruption: Interruption) -> None:
        self._plan = plan
        self._interruption = interruption
        self._environment = _environment(broker_url, plan)
        self._home: Home | None = None
        self._processes: list[ServerProcess] = []

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers' main processes."""
        return [process.pid for process in self._processes]

    def check_alive(self) -> None:
        """Raises EmbeddedServerError, with the end of its log, where a worker has ended."""
        for process in self._processes:
            process.check_alive("a worker")

    def wait_until_ready(self, journal: Journal) -> None:
        """Returns when all workers take tasks; EmbeddedServerError if one does not in time."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        missing = len(self._processes)
        while missing:
            missing -= journal.one_more_is_ready(READY_STEP_SECONDS)
            self._interruption.check()
            self.check_alive()
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"{missing} of {len(self._processes)} workers were not ready within "
                    f"{READY_TIMEOUT_SECONDS:g} s"
                )

    def __enter__(self) -> Workers:
        self._home = Home()
        try:
            for number in range(1, self._plan.workers + 1):
                self._processes.append(self._started(self._home, number))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _started(self, home: Home, number: int) -> ServerProcess:
        name = f"demo{number}"
        command = [
            *(sys.executable, "-m", "celery", "-A", "celery_ratekit.demo.worker_app", "worker"),
            *("--pool", "prefork", "--concurrency", str(self._plan.concurrency)),
            *("--hostname", f"{name}@localhost", "--loglevel", "WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
        log = home.path / f"{name}.log"
        # billiard leaves directories where a worker is killed.
        environment = {**self._environment, "TMPDIR": str(home.path)}
        return ServerProcess(home, command, log=log, env=environment)

    def _stop(self) -> None:
        for process in self._processes:
            if process.alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)
        began = time.monotonic()
        while any(process.alive for process in self._processes):
            if time.monotonic() > began + self._grace_seconds():
                break
            time.sleep(STOP_STEP_SECONDS)
        for process in self._processes:
            process.kill()
        if self._home is not None:
            self._home.close()

    def _grace_seconds(self) -> float:
        graces = (GRACE_SECONDS, INTERRUPTED_GRACE_SECONDS, 0.0)
        return graces[min(self._interruption.count, 2)]


def _environment(broker_url: str, plan: Plan) -> dict[str, str]:
    """The environment without what would configure Celery behind the demo's back."""
    package_parent = str(Path(celery_ratekit.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CELERY_")}
    return {
        **kept,
        "PYTHONPATH": path,
        URL: broker_url,
        RATE: str(plan.rate),
        BURST: repr(plan.burst),
        GATE: "on" if plan.gate else "off",
    }
