"""Short waits for messages while tasks are held, in workers whose loop nobody can wake.

A worker whose window is full of held tasks has to learn that some of them have started since, to
take in others. Without an event loop (gevent, and brokers that know none) the consumer waits for up
to two seconds for a message. With one, a pool's threads cannot wake it before kombu 5.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .gate.alarm import runs_in_loop

__all__ = ["NAP_SECONDS", "Naps"]

NAP_SECONDS = 0.01


class Naps:
    """Keeps the waits of one consumer's loop short where that is needed."""

    def __init__(self, consumer: Any, is_holding: Callable[[], bool]) -> None:
        self._consumer = consumer
        self._is_holding = is_holding
        self._entry: Any = None

    def start(self) -> None:
        """Begins, for the connection that the consumer has now."""
        consumer = self._consumer
        if consumer.hub is None:
            self._shorten_waits(consumer.connection)
        elif not runs_in_loop(consumer) and not hasattr(consumer.hub, "_create_waker"):
            self._entry = consumer.timer.call_repeatedly(NAP_SECONDS, _wake_up)

    def stop(self) -> None:
        """Ends what the connection does not take with it."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._consumer.timer.cancel(entry)

    def _shorten_waits(self, connection: Any) -> None:
        """Has ``connection.drain_events`` wait no longer than a nap while tasks are held."""
        drain_events = connection.drain_events

        def drain(*, timeout: float | None = None, **options: Any) -> Any:
            if self._is_holding() and (timeout is None or timeout > NAP_SECONDS):
                timeout = NAP_SECONDS
            return drain_events(timeout=timeout, **options)

        connection.drain_events = drain


def _wake_up() -> None:
    """Nothing more to do: the loop is awake, and looks for what there is to do."""
