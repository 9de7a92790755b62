"""Where tasks note their starts: a file for each label, with a record at its end for each start."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["Book", "Start"]

RECORD = struct.Struct("=dddI")


class Start(NamedTuple):
    """One start; moments are ``time.time()``, 0.0 where there is none."""

    started_at: float
    granted_at: float
    lateness_seconds: float
    number: int


class Book:
    """The starts of a run. Each is one write at the end of a file, so none mixes with another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}

    def note(
        self, label: str, number: int, granted_at: float = 0.0, lateness_seconds: float = 0.0
    ) -> None:
        """Notes that a task starts now."""
        record = RECORD.pack(time.time(), granted_at, lateness_seconds, number)
        os.write(self._file(label), record)

    def count(self, label: str) -> int:
        """How many tasks of a label have begun; quick, for it is asked while they run."""
        try:
            return (self._folder / label).stat().st_size // RECORD.size
        except FileNotFoundError:
            return 0

    def starts(self, label: str) -> list[Start]:
        """The starts of a label in their order."""
        if not self.count(label):
            return []
        records = (self._folder / label).read_bytes()
        return sorted(Start(*record) for record in RECORD.iter_unpack(records))

    def _file(self, label: str) -> int:
        if label not in self._files:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._files[label] = os.open(self._folder / label, flags, 0o600)
        return self._files[label]
