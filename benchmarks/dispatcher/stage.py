"""Where the parts run: servers, queues that are full, a dispatcher and a plain worker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess
from celery_ratekit.embedded.waiting import NotYetError, wait_for

from ..backlog.book import Book
from ..environment import environment_of
from .setup import TASK, Setup, task_id

__all__ = ["Stage", "sleep_until", "stage"]

LONGEST_SECONDS = 300.0


class Stage:
    """Servers that run, and what one does with them."""

    def __init__(self, stack: ExitStack, limits: EmbeddedRedis, broker_url: str) -> None:
        self._home = Home()
        stack.callback(self._home.close)
        self._stack = stack
        self._setup = Setup(broker_url, limits.url, str(self._home.path))
        self.limits = stack.enter_context(limits.client())
        self.book = Book(Path(self._setup.folder))
        self.throttle = self._setup.throttle()
        stack.callback(self.throttle.app.close)

    def fill(self, rates: Mapping[str, int], seconds: float) -> list[str]:
        """Makes queues with work for so long, none of it sent; the queue of each task's number."""
        queues: list[str] = []
        for queue, per_second in rates.items():
            self.throttle.create_queue(f"{per_second}/s", queue)
            self.throttle.deactivate_queue(queue)
            first = len(queues)
            queues += [queue] * round(per_second * seconds)
            numbers = range(first, len(queues))
            note = self.throttle.app.signature
            self.throttle.submit_many(
                queue, [note(TASK, (n,), task_id=task_id(n)) for n in numbers]
            )
        for queue in rates:
            self.throttle.activate_queue(queue)
        return queues

    def start_dispatcher(self) -> psutil.Process:
        """A dispatcher, which may not send yet."""
        return self._start("dispatcher", [sys.executable, "-m", f"{__package__}.program"])

    def start_plain_worker(self) -> None:
        """A worker that takes what is sent."""
        target = self.throttle.config.target_queue
        self._start(
            "worker",
            [
                *(sys.executable, "-m", "celery", "-A", f"{__package__}.worker_app", "worker"),
                *("--pool", "solo", "--prefetch-multiplier", "10", "--queues", target),
                *("--loglevel", "WARNING", "--without-gossip", "--without-mingle"),
            ],
        )

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Waits until something is so; raises EmbeddedServerError where it takes too long."""

        def check() -> None:
            if not is_so():
                raise NotYetError(what)

        wait_for(what, check, timeout=LONGEST_SECONDS)

    def commands(self) -> int:
        """How many commands the limits' Redis has carried out, also inside of scripts."""
        return int(self.limits.info("stats")["total_commands_processed"])

    def granted(self, queues: Sequence[str], numbers: Sequence[int]) -> dict[int, float]:
        """When each sent task was granted its start, `time.time()`, as its sending noted."""
        store = self.throttle.runtime.queues.view("benchmark").store
        found: dict[int, float] = {}
        for number in numbers:
            charge = store.redeem(queues[number], task_id(number))
            if charge is not None:
                found[number] = charge[0] / 1e6
        return found

    def _start(self, name: str, command: list[str]) -> psutil.Process:
        process = ServerProcess(
            self._home,
            command,
            log=self._home.path / f"{name}.log",
            env=environment_of(self._home, self._setup.environment()),
        )
        self._stack.callback(process.kill)
        return psutil.Process(process.pid)


@contextmanager
def stage(broker_url: str | None = None) -> Iterator[Stage]:
    """A stage of its own; the broker is the Redis of the limits unless another is given."""
    with ExitStack() as stack:
        limits = stack.enter_context(EmbeddedRedis(tcp=True))
        yield Stage(stack, limits, broker_url or limits.celery_url)


def sleep_until(moment: float) -> None:
    """Returns at a moment of ``time.time()``, or at once where it has passed."""
    time.sleep(max(0.0, moment - time.time()))
