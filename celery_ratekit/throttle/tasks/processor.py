"""The task that plain data of throttled queues goes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from ...errors import BadOptionError

__all__ = ["TASK_NAME", "TEST_FIELD", "RateLimitedTaskProcessor"]

TASK_NAME = "celery_ratekit.throttle.process_rate_limited_task"

TEST_FIELD = "celery_ratekit_test"
"""The field of data that people submit to see a queue at work; nothing is done for it."""

F = TypeVar("F", bound=Callable[..., Any])


class RateLimitedTaskProcessor:
    """Hands the data of each task to a function that the user registers.

        @throttle.task_processor.handler
        def handle(task_data): ...

    Or to a task of a subclass: one that overrides `_register_task` and assigns a task of
    ``self.app`` with the arguments (queue name, data) to ``self.process_rate_limited_task``.
    ``redis`` is a client and ``queue_manager`` the queues, for its use.
    """

    process_rate_limited_task: Any

    def __init__(self, app: Any, redis: Any = None, queue_manager: Any = None) -> None:
        self.app = app
        self.redis = redis
        self.queue_manager = queue_manager
        self._handler: Callable[[Any], Any] | None = None
        self._shared: _Shared | None = None
        self._register_task()

    def handler(self, function: F) -> F:
        """Has ``function(task_data)`` called in workers for each task's data; a decorator."""
        if not callable(function):
            raise BadOptionError(
                f"expected a function of the task's data as handler, got {function!r:.60}"
            )
        self._handler = function
        if self._shared is not None:
            self._shared.processor = self
        return function

    def process_task(self, queue_name: str, task_data: Any) -> Any:
        """What the task does, in a worker; subclasses may override it."""
        if isinstance(task_data, dict) and TEST_FIELD in task_data:
            return None
        if self._handler is None:
            raise BadOptionError(
                f"expected a function for the data of the throttled queue {queue_name!r:.60}, got "
                "none; register one in the app's module: @throttle.task_processor.handler above "
                "def handle(task_data)"
            )
        return self._handler(task_data)

    @property
    def is_ready(self) -> bool:
        """Whether it knows what to do with data."""
        overrides = type(self).process_task is not RateLimitedTaskProcessor.process_task
        return self._handler is not None or overrides

    def _register_task(self) -> None:
        """Makes the task; subclasses override it to make one of their own."""
        name = self._task_name()
        of_app = _tasks.setdefault(self.app, {})
        shared = of_app.get(name)
        if shared is None:
            shared = of_app[name] = _Shared(self)
            shared.task = _make_task(self.app, name, shared)
        elif not shared.processor.is_ready:
            shared.processor = self
        self._shared = shared
        self.process_rate_limited_task = shared.task

    def _task_name(self) -> str:
        """Its name, which other prefixes of the app do not have."""
        prefix = getattr(self.queue_manager, "queue_prefix", None)
        return TASK_NAME if prefix is None else f"{TASK_NAME}.{prefix}"


class _Shared:
    """One app's task of one name, and the processor that it hands data to.

    A program may make several throttles of one app, such as a command beside the app's own module.
    """

    task: Any = None

    def __init__(self, processor: RateLimitedTaskProcessor) -> None:
        self.processor = processor


def _make_task(app: Any, name: str, shared: _Shared) -> Any:
    @app.task(name=name, shared=False)
    def process_rate_limited_task(queue_name: str, task_data: Any) -> Any:
        return shared.processor.process_task(queue_name, task_data)

    return process_rate_limited_task


_tasks: WeakKeyDictionary[Any, dict[str, _Shared]] = WeakKeyDictionary()
