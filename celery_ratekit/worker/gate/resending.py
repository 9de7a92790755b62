"""Sends a task again that was held for long, before its broker takes its worker for dead.

A held message is unacknowledged. Redis delivers it again after its visibility time-out, RabbitMQ
after its consumer time-out, and the task would run twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from celery.utils.log import get_logger

from ...tasks.reschedule import publish_again
from .held import Held
from .requests import leave

__all__ = ["Resender", "longest_hold_seconds"]

SHARE_OF_VISIBILITY_TIMEOUT = 0.5

logger = get_logger(__name__)


class Resender:
    """Publishes from a thread of its own, since a broker may take its time.

    ``call_soon(function, argument)`` has the worker's loop call it.
    """

    def __init__(self, call_soon: Callable[..., object]) -> None:
        self._call_soon = call_soon

    def resend(self, held: list[Held], take_back: Callable[[Held], None]) -> None:
        """Sends these again, to the end of their queues.

        ``take_back`` gets who could not be sent, in the other thread.
        """
        threading.Thread(
            target=self._resend, args=(held, take_back), name="ratekit-resend", daemon=True
        ).start()

    def _resend(self, held: list[Held], take_back: Callable[[Held], None]) -> None:
        for one in held:
            request = one.request
            try:
                # Not put off: who held it until then could neither acknowledge it before its broker
                # delivers it again, nor start it when its limits change.
                publish_again(request.task, request._context, 0, {})
            except Exception as error:  # noqa: BLE001 - whatever it was, the task must not be lost
                logger.warning("rate limits: %s stays held: %s", request.id, error)
                take_back(one)
            else:
                self._call_soon(leave, request)


def longest_hold_seconds(app: Any, most: float) -> float:
    """How long a message may be held: well below its broker's time-out, where that is known."""
    options = app.conf.broker_transport_options or {}
    visibility_timeout = options.get("visibility_timeout")
    if isinstance(visibility_timeout, (int, float)) and visibility_timeout > 0:
        return min(most, visibility_timeout * SHARE_OF_VISIBILITY_TIMEOUT)
    return most
