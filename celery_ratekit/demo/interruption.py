"""Ctrl-C and SIGTERM, turned into something that the demo looks at when it suits.

An exception raised by a signal could come between the start of a process and the line that
remembers it; so the signals only leave a note here.
"""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any

__all__ = ["InterruptedDemoError", "Interruption"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedDemoError(Exception):
    """The user, or the system, asked the demo to end."""


class Interruption:
    """Notes SIGINT and SIGTERM while it is entered; to be entered in the main thread."""

    def __init__(self) -> None:
        #: How many signals came; after a second one nobody wants to wait for anything.
        self.count = 0
        self._former: dict[int, Any] = {}
        self._read_end, self._write_end = -1, -1

    def check(self) -> None:
        """Raises InterruptedDemoError if a signal came."""
        if self.count:
            raise InterruptedDemoError

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``; raises InterruptedDemoError as soon as a signal comes."""
        self.check()
        select.select([self._read_end], [], [], max(0.0, seconds))
        self.check()

    def __enter__(self) -> Interruption:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._former = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        os.close(self._read_end)
        os.close(self._write_end)
        if error is None:
            self.check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            os.write(self._write_end, b"!")
