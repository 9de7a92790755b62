"""Has a worker's loop answer at once, whichever thread rings."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .gate.alarm import runs_in_loop

__all__ = ["Doorbell"]

READ_BYTES = 4_096


class Doorbell:
    """Calls ``answer`` in a consumer's event loop soon after somebody rings, or else at once.

    The loop waits for sockets, and before kombu 5.7 no other thread could wake it in another way.
    Where no loop runs, ``answer`` may be called from any thread.
    """

    def __init__(self, consumer: Any, answer: Callable[[], object]) -> None:
        self._answer = answer
        self._hub: Any = None
        self._inside: socket.socket | None = None
        self._outside: socket.socket | None = None
        if runs_in_loop(consumer):
            self._inside, self._outside = socket.socketpair()
            self._inside.setblocking(False)
            self._outside.setblocking(False)

    def hang(self, hub: Any) -> None:
        """Has the loop listen; it forgets all that it listens to with each lost connection."""
        if self._inside is not None:
            self._hub = hub
            hub.add_reader(self._inside.fileno(), self._hear)

    def ring(self) -> None:
        """May be called from any thread, and before the loop runs: it answers when it does."""
        if self._outside is None:
            self._answer()
            return
        with suppress(OSError):  # It has not answered so many rings, or the worker ends.
            self._outside.send(b"x")

    def close(self) -> None:
        """Ends it, with the worker."""
        if self._inside is None or self._outside is None:
            return
        if self._hub is not None:
            self._hub.remove_reader(self._inside.fileno())
        self._inside.close()
        self._outside.close()

    def _hear(self, *_: object) -> None:
        assert self._inside is not None
        with suppress(OSError):
            self._inside.recv(READ_BYTES)
        self._answer()
