"""How many limiters share a Redis, so that each knows its share when Redis goes away."""

from __future__ import annotations

import os
import secrets
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from ..errors import LimiterUnavailableError
from .resp import pack
from .scripts import PRESENCE
from .transport import Transport

__all__ = ["Presence"]

FIRST_BEAT_SECONDS = 1.0
"""Between the first words, then twice as long each time: who starts together is soon counted."""

BEAT_SECONDS = 10.0
GONE_AFTER_SECONDS = 30.0


class Presence:
    """Counts this limiter among those of its namespace, often at first, then each ten seconds.

    ``seen`` is how many there were at the last count, at least 1.
    """

    def __init__(
        self, transport: Transport, key: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._transport = transport
        self._key = key.encode()
        self._clock = clock
        self._pid = 0
        self._id = b""
        self._next_beat = float("-inf")
        self._pause = FIRST_BEAT_SECONDS
        self.seen = 1

    def beat(self) -> None:
        """Says that this limiter lives, where the last word is old; never raises for Redis."""
        now = self._clock()
        if now < self._next_beat and self._pid == os.getpid():
            return
        if self._pid != os.getpid():
            self._pid, self._id = os.getpid(), secrets.token_bytes(9)
            self._pause = FIRST_BEAT_SECONDS
        self._next_beat = now + self._pause
        self._pause = min(self._pause * 2, BEAT_SECONDS)
        arguments = struct.pack("<d", GONE_AFTER_SECONDS * 1e6)
        command = pack((b"EVALSHA", PRESENCE.sha, b"1", self._key, arguments, self._id))
        with suppress(LimiterUnavailableError):  # The next question meets it too and reports it.
            self.seen = max(1, int(self._transport.ask(self._key, command, PRESENCE)))
