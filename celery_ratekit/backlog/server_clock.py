"""What the clock of the Redis server says, without asking it each time."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["ServerClock"]

FRESH_SECONDS = 60.0
"""How long a reading is relied on: two clocks drift apart by few milliseconds in that time."""

STEP_BACK_US = 1_000_000


class ServerClock:
    """Goes on from the last reading that an answer brought along.

    ``clock`` is one that is used in place of the server's, by tests.
    """

    def __init__(self, clock: Callable[[], int] | None) -> None:
        self._clock = clock
        self._ahead_us = 0.0
        self._read_at = float("-inf")

    @property
    def is_fresh(self) -> bool:
        """Whether the server need not be asked."""
        return self._clock is not None or time.monotonic() - self._read_at < FRESH_SECONDS

    def learn(self, now_us: int) -> bool:
        """Takes a reading; whether the server's clock was found to have stepped back."""
        if self._clock is not None:
            return False
        now = time.monotonic()
        ahead = now_us - now * 1e6
        was_read = self._read_at > float("-inf")
        stepped_back = was_read and ahead < self._ahead_us - STEP_BACK_US
        self._ahead_us, self._read_at = ahead, now
        return stepped_back

    def now_us(self) -> float:
        """About what the server's clock says."""
        return self._clock() if self._clock is not None else time.monotonic() * 1e6 + self._ahead_us

    def for_scripts(self) -> bytes:
        """The clock to send: 0 lets a script read the server's."""
        return b"0" if self._clock is None else b"%d" % self._clock()
