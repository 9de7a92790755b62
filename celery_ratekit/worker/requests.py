"""Celery's books about its requests, while one waits in the gate."""

from __future__ import annotations

from typing import Any

from celery.worker import state

__all__ = ["put_aside", "take_up"]

# Since Celery 5.7 there is a set of those that wait for a moment: `query_task` looks there.
_mark_scheduled = getattr(state, "task_scheduled", None)


def put_aside(request: Any) -> None:
    """Counts a request no longer among those that wait for the pool or are in it.

    Celery stops consuming, or starts more processes, for what it counts there.
    """
    state.reserved_requests.discard(request)
    if _mark_scheduled is not None:
        _mark_scheduled(request)


def take_up(request: Any) -> None:
    """Counts a request among those that wait for the pool or are in it."""
    state.task_reserved(request)
