"""One turn at a time, whoever asks for it: threads, greenlets, callbacks inside a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Pump"]


class Pump:
    """Runs ``turn`` for everybody who pokes it; a poke during a turn makes one more follow.

    ``turn`` must not raise.
    """

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._lock = threading.Lock()
        self._running = False
        self._again = False

    def poke(self) -> None:
        """Runs a turn now, or has whoever runs one at this moment run another."""
        with self._lock:
            if self._running:
                self._again = True
                return
            self._running = True
        while True:
            self._turn()
            with self._lock:
                self._running, self._again = self._again, False
                if not self._running:
                    return
