"""Short waits for messages while tasks are held, in workers whose loop nobody can wake.

Without an event loop (gevent, and brokers that know none) the consumer waits for up to two seconds
for a message. On Redis it does not even listen while its window is full of held tasks, and nothing
tells it that some of them have started since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["NAP_SECONDS", "shorten"]

NAP_SECONDS = 0.01


def shorten(connection: Any, is_holding: Callable[[], bool]) -> None:
    """Has ``connection.drain_events`` wait no longer than a nap while tasks are held."""
    drain_events = connection.drain_events

    def drain(*, timeout: float | None = None, **options: Any) -> Any:
        if is_holding() and (timeout is None or timeout > NAP_SECONDS):
            timeout = NAP_SECONDS
        return drain_events(timeout=timeout, **options)

    connection.drain_events = drain
