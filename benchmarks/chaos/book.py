"""What all processes of a run note, in the order in which it happened.

Each line is one write at the end of one file: it outlives who wrote it and any Redis.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["Book", "Line"]


class Line(NamedTuple):
    """One thing that happened, at a moment (``time.time()``), in a process of a worker."""

    at: float
    worker: str
    pid: int
    word: str
    task_id: str
    more: str


class Book:
    """The book of a run, as one worker (or the run itself) writes it."""

    def __init__(self, home: Path, worker: str) -> None:
        self._path = home / "book"
        self._worker = worker
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(
        self,
        word: str,
        task_id: str = "-",
        more: str = "-",
        *,
        worker: str | None = None,
        pid: int | None = None,
    ) -> None:
        """Adds a line; only ``more`` may have spaces. ``worker`` and ``pid``: where not this."""
        who = f"{worker or self._worker} {pid or os.getpid()}"
        text = f"{time.time():.6f} {who} {word} {task_id} {more}\n"
        os.write(self._file, text.encode())

    def lines(self) -> list[Line]:
        """All that was noted by anybody."""
        return [_line(text) for text in self._path.read_text().splitlines()]

    def close(self) -> None:
        os.close(self._file)


def _line(text: str) -> Line:
    at, worker, pid, word, task_id, more = text.split(" ", 5)
    return Line(float(at), worker, int(pid), word, task_id, more)
