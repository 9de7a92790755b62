"""Limits that a decorator puts on a function, whatever class its task has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from inspect import signature
from typing import Any

from celery import Task, current_task

from ..limits import Limit
from .call import Call

__all__ = ["FunctionLimit", "function_limits_of", "limited"]

MARK = "__ratekit_limits__"
"""Where a limited function keeps its limits; whatever wraps it with functools.wraps takes them."""


class FunctionLimit(ABC):
    """What limits the calls of one decorated function.

    ``label`` is how messages call it.
    """

    label: str

    @property
    @abstractmethod
    def gate_limits(self) -> Sequence[Limit]:
        """What the gate asks before a call starts; none where the function itself asks."""

    @property
    @abstractmethod
    def declared_limits(self) -> Sequence[Limit]:
        """All the limits that hold, whoever asks them."""

    @abstractmethod
    def admitted(self, task: Task, request: Any, call: Call) -> AbstractContextManager[None]:
        """Lets one call go on, and holds on to what it takes until it is over.

        Raises celery's Retry where the call was sent again instead.
        """


class Passed(set[FunctionLimit]):
    """The limits of its function that a running call has passed."""


def limited(function: Callable[..., Any], limit: FunctionLimit) -> Callable[..., Any]:
    """The same function, whose task is limited as well; called directly it is not."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        task = _task_to_limit(limit)
        if task is None:
            return function(*args, **kwargs)
        request = task.request_stack.top
        call = Call(task.name, task.run, request.args or (), request.kwargs, request.id)
        with limit.admitted(task, request, call):
            return function(*args, **kwargs)

    # Celery checks the arguments of a call against what the function itself says it takes.
    run.__signature__ = signature(function)  # type: ignore[attr-defined]  # any function may have it
    setattr(run, MARK, (limit, *getattr(function, MARK, ())))
    return run


def function_limits_of(task: Task) -> tuple[FunctionLimit, ...]:
    """What decorators have put on the function of a task."""
    limits: tuple[FunctionLimit, ...] = getattr(task.run, MARK, ())
    return limits


def _task_to_limit(limit: FunctionLimit) -> Task | None:
    """The task that a worker runs at this moment, where it is still to pass this limit.

    None in direct calls, also those from the body of another task, and in eager mode.
    """
    task = current_task._get_current_object()
    if task is None or not any(limit is one for one in function_limits_of(task)):
        return None
    request = task.request_stack.top
    if request is None or request.called_directly or request.is_eager:
        return None
    passed = request.get("ratekit_passed")
    if not isinstance(passed, Passed):  # A message header of that name is none.
        passed = request.ratekit_passed = Passed()
    if limit in passed:
        return None  # The body calls its own function.
    passed.add(limit)
    return task
