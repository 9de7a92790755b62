"""Hears when a request is over, whichever way it ends.

Celery's pools call ``on_success``, ``on_failure`` and ``on_timeout`` of the request itself, in the
worker's main process, also for children that were killed. Hooks on the instance see all of these;
a class in place of Celery's Request would not (its subclasses skip overridden methods).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["watch"]


HOOKS = ("on_success", "on_failure", "on_timeout")


class Ending:
    """Calls back once, after Celery did what the end of a request asks for."""

    __slots__ = ("_on_end", "_request")

    def __init__(self, request: Any, on_end: Callable[[Any], None]) -> None:
        self._request: Any = request
        self._on_end = on_end

    def on_success(self, *args: Any, **kwargs: Any) -> Any:
        return self._pass_on("on_success", args, kwargs)

    def on_failure(self, *args: Any, **kwargs: Any) -> Any:
        return self._pass_on("on_failure", args, kwargs)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        request = self._request
        if soft:
            return type(request).on_timeout(request, soft, timeout)
        return self._pass_on("on_timeout", (soft, timeout), {})

    def _pass_on(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = self._request
        try:
            return getattr(type(request), name)(request, *args, **kwargs)
        finally:
            # A failure comes through on_success first, a time-out may be followed by a failure.
            on_end, self._on_end = self._on_end, _nothing
            _unwatch(request)
            on_end(request)


def _unwatch(request: Any) -> None:
    """Lets go of each other, or both would stay until the next full garbage collection."""
    hooks = request.__dict__
    for name in HOOKS:
        hooks.pop(name, None)


def _nothing(request: Any) -> None:
    """For ends that were told already."""


def watch(request: Any, on_end: Callable[[Any], None]) -> None:
    """Has ``on_end(request)`` called once, when the pool is done with the request."""
    ending = Ending(request, on_end)
    request.on_success = ending.on_success
    request.on_failure = ending.on_failure
    request.on_timeout = ending.on_timeout
