"""Circuit breakers: after a failure, answers are given up at once for a growing while.

They keep a worker's event loop alive while Redis is away: one probe at a time waits for the
time-out, every other question fails without being sent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .forks import after_fork

__all__ = ["CircuitBreaker", "Degradation"]

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
"""Also how late a Redis that came back may be noticed."""

Observer = Callable[[bool, BaseException | None], None]

logger = logging.getLogger(__name__)


class Degradation:
    """Tells an observer when the first of some circuits opens, and when the last one closes.

    ``observer(degraded, error)`` is called once per change of state, not per question, and in the
    order of the changes; what it raises is logged and changes nothing.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self._open: set[CircuitBreaker] = set()
        self._told = False
        self._lock = threading.RLock()
        after_fork(self)

    def changed(self, breaker: CircuitBreaker, error: BaseException | None = None) -> None:
        """Takes note of a circuit's state."""
        with self._lock:
            if breaker.is_closed:
                self._open.discard(breaker)
            else:
                self._open.add(breaker)
            degraded = bool(self._open)
            if degraded == self._told:
                return
            self._told = degraded
            if self._observer is None:
                return
            try:
                self._observer(degraded, error if degraded else None)
            except Exception:
                logger.exception("what watches whether Redis answers has failed")

    def forget(self) -> None:
        """Begins a forked child with a lock that nobody holds."""
        self._lock = threading.RLock()


class CircuitBreaker:
    """Closed while things go well; open for a while after each failure, twice as long each time."""

    def __init__(
        self,
        degradation: Degradation | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_closed = True
        #: What was met when it last failed.
        self.error: BaseException | None = None
        self._degradation = degradation or Degradation()
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = FIRST_PAUSE_SECONDS
        self._probe_at = 0.0
        self._probing = False
        self._retired = False
        after_fork(self)

    @property
    def wait_seconds(self) -> float:
        """How long until the next probe may be made; 0 while closed."""
        return 0.0 if self.is_closed else max(0.0, self._probe_at - self._clock())

    def begin_probe(self) -> bool:
        """Whether a question may be sent while open; whoever may must `end_probe` it."""
        with self._lock:
            if self._probing or self._clock() < self._probe_at:
                return False
            self._probing = True
            return True

    def end_probe(self, error: BaseException | None = None) -> None:
        """Ends a probe; an ``error`` doubles the pause before the next one.

        Without one, and without `succeeded`, the circuit stays as it is.
        """
        with self._lock:
            self._probing = False
            if error is not None:
                self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._probe_at = self._clock() + self._pause

    def failed(self, error: BaseException) -> None:
        """Opens the circuit; questions that were under way when it opened change nothing."""
        with self._lock:
            if not self.is_closed or self._retired:
                return
            self.is_closed, self.error = False, error
            self._pause = FIRST_PAUSE_SECONDS
            self._probe_at = self._clock() + self._pause
        self._degradation.changed(self, error)

    def succeeded(self) -> None:
        """Closes the circuit."""
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
        self._degradation.changed(self)

    def retire(self) -> None:
        """Closes the circuit for good: nobody will ask there again."""
        with self._lock:
            self._retired = True
        self.succeeded()

    def forget(self) -> None:
        """Begins a forked child without its parent's probe, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._probing = False
