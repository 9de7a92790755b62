"""Starts real workers of a throttle's app, and says which of them run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from ..errors import LimiterUnavailableError
from ..tasks.runtime import Runtime
from .stats import WorkerInfo, WorkerQueueInfo

__all__ = ["Workers", "run_worker"]

ANSWER_SECONDS = 1.0
"""How long live workers have to answer."""


def run_worker(
    app: Any,
    queues: Iterable[str],
    *,
    concurrency: int | None = None,
    loglevel: str = "info",
    prefetch_multiplier: int | None = None,
) -> None:
    """Runs a worker in this process until it is told to stop."""
    argv = [
        "worker",
        f"--queues={','.join(queues)}",
        f"--loglevel={loglevel}",
        # Two of one name on one machine would answer for each other.
        f"--hostname=throttle{os.getpid()}@%h",
    ]
    if concurrency is not None:
        argv.append(f"--concurrency={concurrency}")
    if prefetch_multiplier is not None:
        argv.append(f"--prefetch-multiplier={prefetch_multiplier}")
    app.worker_main(argv)


class Workers:
    """The live workers of an app, whichever queues they consume."""

    def __init__(self, app: Any, runtime: Runtime, timeout_seconds: float = ANSWER_SECONDS) -> None:
        self._app = app
        self._runtime = runtime
        self._timeout_seconds = timeout_seconds

    def info(self) -> dict[str, WorkerInfo]:
        """Every worker that answers within a second, by name."""
        inspect = partial(self._app.control.inspect, timeout=self._timeout_seconds)
        stats = inspect().stats() or {}
        if not stats:
            return {}
        # Who lives is known now: nobody waits for others.
        of_those = inspect(destination=list(stats))
        active, reserved = of_those.active() or {}, of_those.reserved() or {}
        queues = of_those.active_queues() or {}
        sizes = self._sizes({one["name"] for of in queues.values() for one in of})
        return {
            name: WorkerInfo(
                name=name,
                status="online",
                total_tasks=sum((told.get("total") or {}).values()),
                active_tasks=len(active.get(name) or ()),
                reserved_tasks=len(reserved.get(name) or ()),
                queue_sizes={one["name"]: sizes[one["name"]] for one in queues.get(name) or ()},
            )
            for name, told in sorted(stats.items())
        }

    def queues(self, beside: Iterable[str] = ()) -> dict[str, WorkerQueueInfo]:
        """Every queue that a worker consumes, and those ``beside``, by name."""
        found = self._app.control.inspect(timeout=self._timeout_seconds).active_queues() or {}
        listening: dict[str, list[str]] = {name: [] for name in beside}
        for worker, queues in sorted(found.items()):
            for one in queues:
                listening.setdefault(one["name"], []).append(worker)
        sizes = self._sizes(listening)
        return {
            name: WorkerQueueInfo(name, sizes[name], tuple(workers))
            for name, workers in sorted(listening.items())
        }

    def names(self) -> list[str]:
        """The workers that answer within a second."""
        answers = self._app.control.ping(timeout=self._timeout_seconds) or []
        return sorted(name for answer in answers for name in answer)

    def _sizes(self, queues: Iterable[str]) -> Mapping[str, int]:
        names = sorted(set(queues))
        with self._app.connection_for_read() as connection:
            in_broker = {name: _size(connection, name) for name in names}
        return {name: in_broker[name] + self._waiting(name) for name in names}

    def _waiting(self, queue: str) -> int:
        try:
            return self._runtime.backlog.sizes(queue, most_groups=0).waiting
        except LimiterUnavailableError:
            return 0  # What the broker has can be told all the same.


def _size(connection: Any, queue: str) -> int:
    """How many messages the broker has; 0 where it has no such queue."""
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        return 0
    finally:
        channel.close()
