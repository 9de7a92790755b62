"""Sends a task's message again, as the same task, to start later."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from celery import Task
from celery.exceptions import Retry
from celery.utils.quorum_queues import detect_quorum_queues
from kombu.exceptions import EncodeError, OperationalError
from kombu.serialization import registry

__all__ = ["publish_again", "send_again"]

logger = logging.getLogger(__name__)

PUBLISH_AGAIN_SECONDS = 2.0
"""How long to wait before a message that could not be sent is tried again."""


def send_again(
    task: Task, request: Any, deadline: float, reason: str, headers: Mapping[str, Any]
) -> None:
    """Sends the same task to start at ``deadline`` (monotonic seconds), then raises celery's Retry.

    It keeps its id, its place in a chain, group or chord, its headers, priority and expiry, and its
    count of retries. Where the broker does not take it the call waits here and goes on trying, for
    its message may have been acknowledged already; so this returns only at the deadline, when the
    task may as well go on here.
    """
    while True:
        countdown = _countdown(task.app, deadline - time.monotonic())
        if countdown <= 0:
            return
        try:
            again = publish_again(task, request, countdown, headers)
        except (OperationalError, OSError) as error:
            logger.warning("rate limits: %s[%s] waits here: %s", task.name, request.id, error)
            time.sleep(min(PUBLISH_AGAIN_SECONDS, max(0.0, deadline - time.monotonic())))
        else:
            raise Retry(message=reason, when=countdown, sig=again)


def publish_again(
    task: Any, request: Any, countdown_seconds: float, headers: Mapping[str, Any]
) -> Any:
    """Sends the same task to start after ``countdown_seconds``; returns its signature.

    ``request`` is its celery Context. Raises OperationalError where the broker does not take it.
    """
    again = task.signature_from_request(
        request,
        retries=request.retries,
        countdown=countdown_seconds,
        headers={**(request.headers or {}), **_kept_headers(request), **headers},
        add_to_parent=False,
        ignore_result=_ignores_result(task, request),
    )
    _send(again, task.app)
    return again


def _send(again: Any, app: Any) -> None:
    """Sends it as the task usually is, else in another of the formats in which it may have come."""
    try:
        again.apply_async()
    except EncodeError:
        for content_type in app.conf.accept_content:
            serializer = registry.type_to_name.get(content_type, content_type)
            with contextlib.suppress(EncodeError):
                again.apply_async(serializer=serializer)
                return
        raise


def _kept_headers(request: Any) -> dict[str, Any]:
    """What Celery would work out anew, as if the task had sent another one: its own child."""
    return {name: getattr(request, name, None) for name in ("argsrepr", "kwargsrepr", "parent_id")}


def _ignores_result(task: Any, request: Any) -> bool | None:
    """What the caller said about the result, which Celery before 5.7 forgets; else the task."""
    said: bool | None = vars(request).get("ignore_result")
    default: bool | None = task.ignore_result
    return default if said is None else said


def _countdown(app: Any, seconds: float) -> float:
    """The countdown to send: whole seconds, rounded down, where the broker knows no others."""
    return float(math.floor(seconds)) if _delays_by_whole_seconds(app) else seconds


def _delays_by_whole_seconds(app: Any) -> bool:
    """Whether the broker delays messages itself, as it does beside quorum queues."""
    with app.connection_for_write() as connection:
        driver = connection.transport.driver_type
    quorum, _ = detect_quorum_queues(app, driver)
    return bool(quorum)
