"""One turn at a time, whoever asks for it: threads, greenlets, callbacks inside a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["BUSY", "Pump"]

T = TypeVar("T")

BUSY = object()
"""What `Pump.run_between` returns where a turn runs just now."""


class Pump:
    """Runs ``turn`` for everybody who pokes it; a poke during a turn makes one more follow.

    ``turn`` must not raise.
    """

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._awaiting_end = 0
        self._running = False
        self._again = False

    def poke(self) -> None:
        """Runs a turn now, or has whoever runs one at this moment run another."""
        with self._lock:
            if self._running:
                self._again = True
                return
            self._running = True
        self._turn()
        self._end()

    def run_between(self, action: Callable[..., T], *args: Any) -> T | object:
        """What ``action`` returns, run while no turn runs; BUSY, and not run, where one does."""
        with self._lock:
            if self._running:
                return BUSY
            self._running = True
        try:
            return action(*args)
        finally:
            self._end()

    def run_after(self, action: Callable[[], None], timeout_seconds: float) -> None:
        """Runs ``action`` once no turn runs, or when one takes too long to wait for."""
        with self._lock:
            self._awaiting_end += 1
            self._idle.wait_for(lambda: not self._running, timeout_seconds)
            self._awaiting_end -= 1
            self._running = True
        try:
            action()
        finally:
            self._end()

    def _end(self) -> None:
        """Runs the turns that were asked for meanwhile."""
        while True:
            with self._lock:
                self._running, self._again = self._again, False
                if not self._running:
                    if self._awaiting_end:
                        self._idle.notify_all()
                    return
            self._turn()
