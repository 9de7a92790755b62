"""The slots of the pool: how many are idle, and queueing for one.

On prefork, Celery's own semaphore gives a slot to whoever came first; a limited task queues there
like any other. Other pools take in everything at once and queue it where nobody can ask for a token
when its turn comes, so there the gate keeps such a queue of its own, for all tasks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from celery.worker import state

__all__ = ["OwnSlots", "SemaphoreSlots", "Slots", "slots_of"]

Waiter = Callable[..., None]


class Slots(Protocol):
    """The slots of one worker's pool."""

    watches_all: bool
    """Whether each task must tell of its end through `release`, limited or not."""

    @property
    def size(self) -> int:
        """How many tasks the pool runs at a time, or may once it has grown."""
        ...

    @property
    def idle(self) -> int:
        """How many more tasks could run at once; negative where tasks queue already."""
        ...

    def queue(self, waiter: Waiter, *args: Any) -> None:
        """Calls ``waiter(*args)`` once a slot is its own, in the order of coming; maybe at once."""
        ...

    def run(self, request: Any) -> None:
        """Starts a request in the slot that its waiter was given."""
        ...

    def release(self) -> None:
        """Gives back a slot that a waiter was given and does not use."""
        ...

    def ended(self) -> None:
        """Takes note that a task ended which was started here."""
        ...

    def clear(self) -> None:
        """Forgets who queues: the broker delivers their messages again."""
        ...


class _ControllersSlots:
    """What both kinds know of the worker's pool."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller

    @property
    def size(self) -> int:
        size: int = self._controller.max_concurrency or _pool_size(self._controller.pool)
        return size

    def run(self, request: Any) -> None:
        self._controller._process_task(request)


class SemaphoreSlots(_ControllersSlots):
    """The slots that Celery itself hands out through the controller's semaphore."""

    watches_all = False

    @property
    def idle(self) -> int:
        # A union of the weak sets themselves would cost more than all else that a turn does.
        return self.size - len(state.reserved_requests.data | state.active_requests.data)

    def queue(self, waiter: Waiter, *args: Any) -> None:
        self._controller.semaphore.acquire(waiter, *args)

    def run(self, request: Any) -> None:
        try:
            self._controller._process_task(request)
        except BaseException:
            self.release()  # The pool gives back only the slots of what it took.
            raise

    def release(self) -> None:
        self._controller._quick_release()

    def ended(self) -> None:
        """Nothing to do: the pool itself gives the slot back."""

    def clear(self) -> None:
        """Nothing to do: Celery has cleared its semaphore."""


class OwnSlots(_ControllersSlots):
    """Slots for pools whose own queue lets nobody in between."""

    watches_all = True

    def __init__(self, controller: Any) -> None:
        super().__init__(controller)
        self._waiters: deque[tuple[Waiter, tuple[Any, ...]]] = deque()
        self._given = 0
        self._lock = threading.Lock()
        self._giving = False

    @property
    def idle(self) -> int:
        return self.size - self._given - len(self._waiters)

    def queue(self, waiter: Waiter, *args: Any) -> None:
        with self._lock:
            self._waiters.append((waiter, args))
        self._give()

    def release(self) -> None:
        with self._lock:
            self._given = max(0, self._given - 1)
        self._give()

    ended = release

    def clear(self) -> None:
        with self._lock:
            self._waiters.clear()
            self._given = min(self._given, len(state.active_requests))

    def _give(self) -> None:
        """Gives free slots to those who wait; one caller at a time, which does it for all."""
        with self._lock:
            if self._giving:
                return
            self._giving = True
        while True:
            with self._lock:
                if not self._waiters or self._given >= self.size:
                    self._giving = False
                    return
                self._given += 1
                waiter, args = self._waiters.popleft()
            try:
                waiter(*args)
            except BaseException:
                with self._lock:
                    self._giving = False  # Else nobody would be given a slot any more.
                raise


def _pool_size(pool: Any) -> int:
    """How many tasks a pool runs at a time."""
    if type(pool).__module__ == "celery.concurrency.gevent":
        # Before Celery 5.7 its ``num_processes`` counts those that run.
        size: int = pool._pool.size
    else:
        size = pool.num_processes
    return size


def slots_of(controller: Any) -> Slots:
    """The slots of a worker."""
    if controller.process_task == getattr(controller, "_process_task_sem", None):
        return SemaphoreSlots(controller)
    return OwnSlots(controller)
