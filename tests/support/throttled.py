"""Throttles, workers and dispatchers for tests of throttled queues."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from support.journal import Journal, not_yet
from support.processes import ROOT

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess, tail
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.throttle import CeleryThrottle, QueueStats

JOURNAL = "RATEKIT_TEST_JOURNAL"
PLAIN = "RATEKIT_TEST_PLAIN"
BROKER = "RATEKIT_TEST_BROKER"
LIMITS = "RATEKIT_TEST_LIMITS"
REDELIVERED_AFTER = "RATEKIT_TEST_REDELIVERED_AFTER"
MODULE = "end_to_end.apps.throttle"
TESTS = Path(__file__).parents[1]
LOG_LINES = 60
END_SECONDS = 20.0

PROGRAM = [sys.executable, "-c", "from celery_ratekit.cli import main; main()"]


def documented_environment(server: EmbeddedRedis, **more: str) -> dict[str, str]:
    """Where a server is, under the documented names; ``more`` without what they begin with."""
    parts = urlsplit(server.url)
    names = {
        "REDIS_HOST": parts.hostname or "",
        "REDIS_PORT": str(parts.port),
        "REDIS_PASSWORD": unquote(parts.password or ""),
        **more,
    }
    return prefixed(names)


def prefixed(names: Mapping[str, str]) -> dict[str, str]:
    """Variables of the environment under their documented names."""
    return {f"CELERY_THROTTLE_{name}": value for name, value in names.items()}


def whole_environment(server: EmbeddedRedis, **more: str) -> dict[str, str]:
    """The same for another process, which notes in the server what it runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CELERY")}
    return {
        **kept,
        "C_FORCE_ROOT": "1",  # where root runs the tests
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)]),
        JOURNAL: server.url_for(9),
        **documented_environment(server, **more),
    }


class Programs:
    """The commands that a test runs."""

    def __init__(self, home: Home, environment: Mapping[str, str], journal: Journal) -> None:
        self._home = home
        self._environment = dict(environment)
        self._journal = journal
        self.started: list[tuple[ServerProcess, Path]] = []

    def run(self, *arguments: str, **more: str) -> ServerProcess:
        """A command that goes on until it is ended; ``more`` goes into its environment."""
        return self._start([*PROGRAM, *arguments], more)

    def _start(self, command: list[str], more: Mapping[str, str]) -> ServerProcess:
        log = self._home.path / f"{len(self.started)}.log"
        environment = {**self._environment, **more}
        process = ServerProcess(self._home, command, log=log, env=environment)
        self.started.append((process, log))
        return process

    def worker(
        self, *arguments: str, command: str = "worker", module: str = MODULE, **more: str
    ) -> ServerProcess:
        """A worker that takes tasks."""
        return self._ready(self.run(command, "-A", module, *arguments, **more))

    def celery_worker(self, *arguments: str) -> ServerProcess:
        """A worker that Celery's own program runs."""
        program = [sys.executable, "-m", "celery", "-A", MODULE, "worker"]
        return self._ready(self._start([*program, *arguments], {}))

    def worker_of_script(self, script: str, **more: str) -> ServerProcess:
        """A worker that a few lines of Python run."""
        return self._ready(self._start([sys.executable, "-c", script], more))

    def _ready(self, process: ServerProcess) -> ServerProcess:
        while not self._journal.one_more_is_ready():
            process.check_alive("a worker")
        return process

    def dispatcher(self, *arguments: str) -> ServerProcess:
        """A dispatcher, which may not be ready yet."""
        return self.run("dispatcher", "-A", MODULE, *arguments)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return self._ask([*PROGRAM, *arguments])

    def run_script(self, script: str) -> str:
        """What a few lines of Python print."""
        done = self._ask([sys.executable, "-c", script])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _ask(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def close(self) -> None:
        for process, log in self.started:
            process.kill()
            print(f"--- {log.name}\n{tail(log, LOG_LINES)}")


@contextlib.contextmanager
def programs(server: EmbeddedRedis, **more: str) -> Iterator[Programs]:
    """Commands that are ended with the test."""
    home = Home()
    journal = Journal(server.url_for(9))
    ours = Programs(home, whole_environment(server, **more), journal)
    try:
        yield ours
    finally:
        ours.close()
        home.close()


def stop(process: ServerProcess) -> None:
    """Ends a program as a terminal or a service manager does, and waits for its end."""
    os.kill(process.pid, signal.SIGTERM)
    wait_for("end of a program", lambda: not_yet(process.alive), timeout=END_SECONDS)


def throttle_on(url: str, **config: Any) -> CeleryThrottle:
    """A throttle on a Redis of the tests, which is the broker too."""
    import redis

    # A busy machine takes its time to answer.
    celery = {"ratekit_redis_timeout": 20, **config.pop("celery", {})}
    return CeleryThrottle(redis_client=redis.Redis.from_url(url), celery=celery, **config)


def close(throttle: CeleryThrottle) -> None:
    """Closes what a throttle has open.

    Results that are collected later would tell a server that is gone by then.
    """
    throttle.app.backend.remove_pending_result = lambda result: result
    throttle.app.close()


def wait_for_stats(
    throttle: CeleryThrottle,
    queue: str,
    reached: Callable[[QueueStats], bool],
    timeout: float = 60,
) -> QueueStats:
    """What a queue's numbers are once they have reached something."""
    deadline = time.monotonic() + timeout
    while not reached(stats := throttle.get_queue_stats(queue)):
        assert time.monotonic() < deadline, f"{stats} after {timeout} s"
        time.sleep(0.05)
    return stats
