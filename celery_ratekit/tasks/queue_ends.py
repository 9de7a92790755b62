"""Counts how the tasks of throttled queues end, in whichever process that happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import signals, states

from ..errors import RatekitError
from ..queues import QUEUE_HEADER, QueuePlace, place_of
from .runtime import runtime_of

__all__ = [
    "COMES_AGAIN",
    "COMPLETED",
    "FAILED",
    "close_task",
    "count_ends",
    "count_ends_in_parent",
    "run_counted",
]

COMPLETED, FAILED = "completed", "failed"

COMES_AGAIN = "ratekit_comes_again"
"""The attribute of a request's context that says that the task is retried."""

logger = logging.getLogger(__name__)


def count_ends() -> None:
    """Counts the ends of tasks in this process; a second time is harmless.

    From then on each task of the process costs a little more, also those of no queue.
    """
    signals.task_postrun.connect(_on_postrun, dispatch_uid="ratekit_throttled_postrun")
    count_ends_in_parent()


def count_ends_in_parent() -> None:
    """Counts those that come to no process of the pool, or are sent again by their worker."""
    signals.task_revoked.connect(_on_revoked, dispatch_uid="ratekit_throttled_revoked")
    signals.task_retry.connect(_on_retry, dispatch_uid="ratekit_throttled_retry")


def run_counted(target: Callable[..., Any], *args: Any) -> Any:
    """What Celery runs in a process of its pool, whose ends are counted from here on."""
    count_ends()
    return target(*args)


def close_task(app: Any, place: QueuePlace, task_id: str, counter: str) -> None:
    """Takes note that a task is over; where Redis is away it is only logged."""
    try:
        runtime_of(app).queues.view(place.prefix).store.close(place.name, task_id, counter)
    except RatekitError as error:
        logger.warning("rate limits: the end of %s was not counted: %s", task_id, error)


def _on_postrun(
    sender: Any = None, task_id: str = "", retval: Any = None, state: Any = None, **_: Any
) -> None:
    header = sender.request.get(QUEUE_HEADER)
    if header is None:
        return
    counter = _counter_of(state, retval)
    if counter:
        _close(sender.app, header, task_id, counter)
    elif not sender.acks_late:
        _pause(sender.app, header, task_id)


def _on_retry(request: Any = None, **_: Any) -> None:
    """A worker may retry a task whose process was lost."""
    setattr(request, COMES_AGAIN, True)


def _on_revoked(sender: Any = None, request: Any = None, **_: Any) -> None:
    header = request.get(QUEUE_HEADER)
    if header is not None:
        _close(sender.app, header, request.id, FAILED)


def _close(app: Any, header: object, task_id: str, counter: str) -> None:
    try:
        place = place_of(header)
    except RatekitError:
        return  # Anybody may have sent it; it belongs to no queue.
    close_task(app, place, task_id, counter)


def _pause(app: Any, header: object, task_id: str) -> None:
    """Takes note that a task ended only to come again."""
    try:
        runtime_of(app).queues.view(place_of(header).prefix).store.pause(task_id)
    except RatekitError as error:
        logger.warning("rate limits: the end of %s was not noted: %s", task_id, error)


def _counter_of(state: Any, retval: Any) -> str:
    """How a body's end counts; empty where the task comes again."""
    if state in (states.SUCCESS, states.IGNORED):
        return COMPLETED
    if state == states.REJECTED:
        return "" if getattr(retval, "requeue", False) else FAILED
    return FAILED if state == states.FAILURE else ""
