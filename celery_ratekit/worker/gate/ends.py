"""Hears when a request is over, whichever way it ends.

Celery's pools call ``on_success``, ``on_failure`` and ``on_timeout`` of the request itself, in the
worker's main process, also for children that were killed. A class that Celery is told to use for
its requests would not see all of these (the classes that it makes of it skip overridden methods),
so each request's own class is exchanged, for one below all of Celery's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["watch"]

KEPT_AS = "_ratekit_watched"
"""Where Celery's class keeps ours, so that both are forgotten together: it makes new ones for each
connection."""


class _Watched:
    """Calls back once, after Celery did what the end of a request asks for."""

    __slots__ = ()

    def on_success(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().on_success(*args, **kwargs)  # type: ignore[misc]  # Celery's class
        finally:
            _end(self)

    def on_failure(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().on_failure(*args, **kwargs)  # type: ignore[misc]  # Celery's class
        finally:
            _end(self)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        try:
            return super().on_timeout(soft, timeout)  # type: ignore[misc]  # Celery's class
        finally:
            if not soft:
                _end(self)


def _end(request: Any) -> None:
    """A failure comes through on_success first, a time-out may be followed by a failure."""
    on_end = request.__dict__.pop("ratekit_on_end", None)
    if on_end is not None:
        on_end(request)


def watch(request: Any, on_end: Callable[[Any], object]) -> None:
    """Has ``on_end(request)`` called once, when the pool is done with the request."""
    request.ratekit_on_end = on_end
    kind = type(request)
    watched = kind.__dict__.get(KEPT_AS)
    if watched is None:
        watched = _watched_kind(kind)
    request.__class__ = watched


def _watched_kind(kind: type) -> type:
    """Celery's class with our methods before its own; watched requests keep theirs."""
    watched = kind
    if not issubclass(kind, _Watched):
        watched = type(kind.__name__, (_Watched, kind), {"__slots__": (), "__doc__": kind.__doc__})
    setattr(kind, KEPT_AS, watched)
    return watched
