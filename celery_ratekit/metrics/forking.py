"""Keeps a process from being forked in the midst of a change of a metric, or of a scrape.

Metrics hold locks for a moment. A child that was forked in that moment, while another thread held
one, would wait for it for ever when it counts something.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType

__all__ = ["unforked"]

LONGEST_WAIT_SECONDS = 1.0
"""For how long a fork is put off: whoever serves metrics of their own may take their time."""


class Unforked:
    """A context that no fork of this process falls into; it may be entered again inside."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_held_for_fork = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child
            )

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _before(self) -> None:
        self._is_held_for_fork = self._lock.acquire(timeout=LONGEST_WAIT_SECONDS)

    def _in_parent(self) -> None:
        if self._is_held_for_fork:
            self._is_held_for_fork = False
            self._lock.release()

    def _in_child(self) -> None:
        if self._is_held_for_fork:
            self._in_parent()
        else:  # Another thread, which the child does not have, would never release it.
            self._lock = threading.RLock()


unforked = Unforked()
