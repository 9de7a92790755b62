"""One call of a task, as functions for keys and costs see it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

__all__ = ["Call"]

_signature_of = lru_cache(1_024)(inspect.signature)  # It takes longer than all else about a call.


class Call:
    """A task's name and id with the arguments that it is called with.

    ``arguments`` has them by the names of the function's parameters, defaults included, so that
    ``call.arguments["user_id"]`` works however the caller passed it.
    """

    __slots__ = ("_args", "_arguments", "_function", "_kwargs", "task_id", "task_name")

    def __init__(
        self,
        task_name: str,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
    ) -> None:
        self.task_name = task_name
        self.task_id = task_id
        self._args = args
        self._kwargs = kwargs
        self._function = function
        self._arguments: dict[str, Any] | None = None

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments that were passed by position."""
        return tuple(self._args)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments that were passed by name; a copy."""
        return dict(self._kwargs or {})

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name; raises TypeError where they do not fit the function."""
        if self._arguments is None:
            bound = _signature_of(self._function).bind(*self.args, **self.kwargs)
            bound.apply_defaults()
            self._arguments = dict(bound.arguments)
        return self._arguments

    def __repr__(self) -> str:
        return f"<Call of {self.task_name}, id {self.task_id}>"
