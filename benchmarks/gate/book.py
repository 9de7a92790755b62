"""Where tasks note their starts: memory that all processes of a run share.

A line in a journal would cost more than a task that does nothing, and hide what is to be measured.
This module loads nothing of celery_ratekit, since a plain worker uses it too.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Book", "Start"]

RECORD = struct.Struct("=dddIIII")
"""What there is of each task: the fields of `Start`, and four bytes that keep all aligned."""

MOMENT = struct.Struct("=d")
COUNT = struct.Struct("=I")
SENT_AT = 32  # in a record


class Start(NamedTuple):
    """One task; moments are ``time.time()``, 0.0 where there is none.

    ``started_at`` is that of the last run. ``sent`` counts the messages that workers sent for it.
    """

    started_at: float
    granted_at: float
    lateness_seconds: float
    runs: int
    retries: int
    sent: int


class Book:
    """A file with a record for each task of a run, whose number is its only argument."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, size * RECORD.size)
            self._memory = mmap.mmap(descriptor, size * RECORD.size)
        finally:
            os.close(descriptor)

    # In workers

    def note(self, number: int) -> None:
        """Notes that a task starts: as little as can be, and the same for all contenders."""
        MOMENT.pack_into(self._memory, number * RECORD.size, time.time())

    def note_grant(
        self, number: int, granted_at: float, lateness_seconds: float, retries: int
    ) -> None:
        """Notes that a task starts, and when its limits had allowed it."""
        at = number * RECORD.size
        _, _, _, runs, _, sent, _ = RECORD.unpack_from(self._memory, at)
        RECORD.pack_into(
            *(self._memory, at, time.time(), granted_at, lateness_seconds),
            *(runs + 1, retries, sent, 0),
        )

    def note_sent(self, number: int) -> None:
        """Notes that a worker sent a message for a task."""
        at = number * RECORD.size + SENT_AT
        COUNT.pack_into(self._memory, at, COUNT.unpack_from(self._memory, at)[0] + 1)

    # In the benchmark

    def clear(self) -> None:
        """Forgets all: for other tasks with the same numbers."""
        self._memory[:] = bytes(len(self._memory))

    def count_started(self) -> int:
        """How many tasks have begun; quick, for it is asked while they run."""
        with memoryview(self._memory) as memory, memory.cast("d") as numbers:
            moments: list[Any] = numbers[:: RECORD.size // MOMENT.size].tolist()
            return self.size - moments.count(0.0)

    def starts(self) -> list[Start]:
        """Every task that has begun, in the order of their starts."""
        all_of_them = (Start(*record[:-1]) for record in RECORD.iter_unpack(self._memory[:]))
        return sorted(start for start in all_of_them if start.started_at)

    def close(self) -> None:
        """Lets go of the memory."""
        self._memory.close()
