"""What a consumer is to the backlog for as long as its connection lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from celery.worker import state

from ...rules import BACKLOG
from ...tasks.runtime import Runtime
from .overflow_choice import overflow_of
from .sources import Sources

__all__ = ["Link"]


class Link:
    """Renewed with each connection; before the first it knows no queue and no task.

    ``tasks`` are the names of all that it can run.
    """

    def __init__(self, consumer: Any, runtime: Runtime) -> None:
        self._consumer = consumer
        self._runtime = runtime
        self._sources: Sources | None = None
        self._handler: Callable[[Any], Any] | None = None
        self._parks: dict[str, bool] = {}
        self._is_used = False
        self.tasks: Sequence[str] = ()

    def renew(self) -> None:
        """Takes over what the consumer has now."""
        consumer = self._consumer
        self._sources = Sources(consumer.task_consumer)
        self._handler = consumer.create_task_handler()
        tasks = consumer.app.tasks
        # Also those that nothing limits any more: some may have been parked before.
        self.tasks = [name for name in consumer.strategies if name in tasks]
        self._is_used = any(self._may_park(tasks[name]) for name in self.tasks)

    def parks(self, task: Any) -> bool:
        """Whether the messages of a task wait in the backlog."""
        parks = self._parks.get(task.name)
        if parks is None:
            chosen = overflow_of(self._consumer.app, task, self._runtime.settings)
            parks = self._parks[task.name] = chosen == BACKLOG
        return parks

    def queue_of(self, message: Any) -> str | None:
        """The queue that a message came from, if it may wait elsewhere."""
        return None if self._sources is None else self._sources.queue_of(message)

    @property
    def is_used(self) -> bool:
        """Whether tasks of this worker may wait in the backlog, as far as is known."""
        return self._is_used or self.has_queues

    @property
    def has_queues(self) -> bool:
        """Whether others may park at any time: what is submitted to throttled queues."""
        return self._runtime.has_queues

    def use(self) -> None:
        """Takes note that some wait there all the same: others have parked them, or once did."""
        self._is_used = True

    @property
    def lasting(self) -> Sequence[str]:
        """The names of the queues that are there for any worker."""
        return () if self._sources is None else self._sources.lasting

    @property
    def queues(self) -> Sequence[str]:
        """Those of them in which tasks of this worker may wait; none where it parks no task."""
        return self.lasting if self.is_used else ()

    def has_room(self, waiting: int) -> bool:
        """Whether the broker delivers more while so many messages wait beside those of the pool.

        Only while half of the window is left: the broker may not have heard yet of all that was
        acknowledged.
        """
        qos = self._consumer.qos
        taken = waiting + len(state.reserved_requests)
        return qos is None or not qos.value or 2 * taken < qos.value

    @property
    def accept(self) -> Any:
        """The content types that the consumer takes."""
        return self._consumer.task_consumer.accept

    def feed(self, message: Any) -> None:
        """Delivers a message, as if it came from the broker."""
        assert self._handler is not None
        self._handler(message)

    def _may_park(self, task: Any) -> bool:
        plan = self._runtime.book.plan(task)
        is_limited = plan.is_limited or (
            bool(self._runtime.settings.named_limits) and not plan.is_switched_off
        )
        return is_limited and self.parks(task)
