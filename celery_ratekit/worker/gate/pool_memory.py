"""What a pool still knows of its tasks after the connection to the broker was lost."""

from __future__ import annotations

from typing import Any, Protocol

import celery
from celery.worker import state

__all__ = ["CompletePoolMemory", "PoolMemory", "ShortPoolMemory", "memory_of"]

KEEPS_RUNNING_TASKS_SINCE = (5, 6)
"""Celery 5.5's prefork pool drops the books of running tasks as well, and never tells their end."""


class PoolMemory(Protocol):
    """How to go on hearing of the tasks that run while the connection is lost."""

    @property
    def drops_unbegun(self) -> bool:
        """Whether the pool drops what it has not begun when the consumer closes."""
        ...

    def keep(self, request: Any) -> None:
        """Remembers a request that the pool was just given."""
        ...

    def end(self, request: Any) -> None:
        """Forgets a request that is over."""
        ...

    def restore(self) -> None:
        """Has the pool tell again of the ends of what still runs."""
        ...


class CompletePoolMemory:
    """For pools that go on telling of all that run."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @property
    def drops_unbegun(self) -> bool:
        # Prefork has this once it has started; other pools' flush does nothing.
        return vars(self._pool).get("flush") is not None

    def keep(self, request: Any) -> None:
        """Nothing to do."""

    def end(self, request: Any) -> None:
        """Nothing to do."""

    def restore(self) -> None:
        """Nothing to do."""


class ShortPoolMemory(CompletePoolMemory):
    """For a prefork pool that forgets all when it is flushed: keeps its jobs alive meanwhile."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self._jobs: dict[Any, Any] = {}

    def keep(self, request: Any) -> None:
        job = request._apply_result
        if job is not None:
            self._jobs[request] = job()  # Celery itself has only a weak reference.

    def end(self, request: Any) -> None:
        self._jobs.pop(request, None)

    def restore(self) -> None:
        processes = self._pool._pool
        if processes is None:
            return  # The pool was stopped: nothing runs any more.
        cache = processes._cache
        for request, job in list(self._jobs.items()):
            if request in state.active_requests and job is not None and not job.ready():
                cache.setdefault(job._job, job)
            else:
                del self._jobs[request]


def memory_of(pool: Any) -> PoolMemory:
    """The memory that a consumer's pool needs."""
    is_prefork = type(pool).__module__ == "celery.concurrency.prefork"
    if is_prefork and celery.VERSION[:2] < KEEPS_RUNNING_TASKS_SINCE:
        return ShortPoolMemory(pool)
    return CompletePoolMemory(pool)
