"""Celery's books about its requests, while one waits in the gate."""

from __future__ import annotations

from typing import Any

from celery.utils.log import get_logger
from celery.worker import state

__all__ = ["forget", "is_revoked", "leave", "put_aside", "take_up"]

logger = get_logger(__name__)

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


def forget(request: Any) -> None:
    """Takes a request out of the books; it is not acknowledged, so it will be delivered again."""
    state.requests.pop(request.id, None)
    state.reserved_requests.discard(request)


def leave(request: Any) -> None:
    """Ends what this worker has to do with a request that waits elsewhere from now on."""
    state.task_ready(request)
    request.acknowledge()


def is_revoked(request: Any) -> bool:
    """Whether a request was revoked or has expired; Celery then has ended it.

    Where that failed, because the result backend is away, it does not run either: its message was
    not acknowledged, and is delivered again.
    """
    if not (state.revoked or state.revoked_stamps or request.expires or request._already_revoked):
        return False  # Most often nothing is; looking closer takes longer than all else here.
    try:
        return bool(request.revoked())
    except Exception:
        logger.exception("rate limits: %s was revoked, but could not be marked so", request.id)
        forget(request)
        return True
