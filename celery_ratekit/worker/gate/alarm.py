"""The gate's one timer: rings once at the next moment that matters.

Celery's event loop fires at most ten timers and may then sleep for a second, so a timer for each
waiting task would hold most of them up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Alarm", "LoopAlarm", "ThreadAlarm", "alarm_for", "runs_in_loop"]


class Alarm(Protocol):
    """Rings at a moment by ``time.monotonic()``; setting it anew replaces the former moment."""

    def set(self, moment: float | None) -> None:
        """Ring at ``moment``; None: not at all."""
        ...

    def close(self) -> None:
        """Never ring again."""
        ...


class LoopAlarm:
    """Rings in the worker's event loop, through the timer that runs there."""

    def __init__(self, timer: Any, ring: Callable[[], None]) -> None:
        self._timer = timer
        self._ring = ring
        self._moment: float | None = None
        self._entry: Any = None

    def set(self, moment: float | None) -> None:
        if moment == self._moment and self._entry is not None:
            return
        self._cancel()
        if moment is not None:
            self._moment = moment
            # The moment tells a late ring of a replaced entry from one that counts.
            self._entry = self._timer.call_at(moment, self._rings, (moment,))

    def close(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        entry, self._entry, self._moment = self._entry, None, None
        if entry is not None:
            self._timer.cancel(entry)

    def _rings(self, moment: float) -> None:
        if moment == self._moment:
            self._entry = self._moment = None
            self._ring()


class ThreadAlarm:
    """Rings in a thread of its own: for pools whose tasks end in other threads than the loop's."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._moment: float | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def set(self, moment: float | None) -> None:
        with self._changed:
            if moment == self._moment or self._closed:
                return
            is_sooner = moment is not None and (self._moment is None or moment < self._moment)
            self._moment = moment
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ratekit-gate", daemon=True)
                self._thread.start()
            elif is_sooner:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            self._ring()

    def _wait(self) -> bool:
        """True once the moment has come, False once the alarm is closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if self._moment is not None and self._moment <= now:
                    self._moment = None
                    return True
                self._changed.wait(None if self._moment is None else self._moment - now)
        return False


def alarm_for(consumer: Any, ring: Callable[[], None]) -> Alarm:
    """The alarm that suits a consumer's pool and loop."""
    if runs_in_loop(consumer) or getattr(consumer.pool, "is_green", False):
        return LoopAlarm(consumer.timer, ring)
    return ThreadAlarm(ring)


def runs_in_loop(consumer: Any) -> bool:
    """Whether all that concerns the gate happens in one event loop.

    Threads of a pool tell of ends by themselves, and could not wake the loop before kombu 5.7.
    """
    in_threads = type(consumer.pool).__module__ == "celery.concurrency.thread"
    return bool(consumer.hub) and not in_threads
