"""A process' view of the overrides, read anew when it is used and has grown old."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ...errors import RatekitError
from ..forks import after_fork
from .store import OverrideStore
from .view import View

__all__ = ["FRESH_SECONDS", "OverrideBook"]

FRESH_SECONDS = 1.0
"""How long a view is used without asking whether something was changed."""

logger = logging.getLogger(__name__)


class OverrideBook:
    """The overrides as this process knows them, at most a second old whenever it uses them.

    It reads only when it is asked, so idle processes send nothing, and needs no thread. While Redis
    gives no answer the last view counts, and it is asked again after a second. It may be shared by
    threads, and a forked child goes on with the view of its parent. ``clock``: monotonic, seconds.
    """

    def __init__(self, store: OverrideStore, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        #: What is known, and by the clock until when that need not be asked for again.
        self.current = View(store.keys)
        self.fresh_until = float("-inf")
        #: By the same clock, when something in the view ends by itself.
        self.ends_at = float("inf")
        self._reads = 0  # that have begun
        self._is_reading = False
        self._reading = threading.RLock()
        after_fork(self)

    def forget(self) -> None:
        """Begins a forked child with a lock that nobody holds."""
        self._reading = threading.RLock()
        self._is_reading = False

    def view(self) -> View:
        """What counts now; never raises."""
        if self._clock() < self.fresh_until:
            return self.current
        return self._refreshed(0)

    def refresh(self) -> View:
        """What counts now, asked for at once; never raises."""
        # What another thread asked for already may be older than what this one was told of.
        return self._refreshed(self._reads + 1)

    def _refreshed(self, read: int) -> View:
        """What counts, as the read of this number or a later one finds it."""
        with self._reading:
            # Whoever is told by its own question that Redis is away may ask for limits itself.
            is_fresh = self._clock() < self.fresh_until and self._reads >= read
            if self._is_reading or is_fresh:
                return self.current
            self._is_reading = True
            try:
                self._read()
            except RatekitError as error:
                logger.debug("rate limits: what was set at run time is not known: %s", error)
                self.fresh_until = self._clock() + FRESH_SECONDS
            finally:
                self._is_reading = False
            return self.current

    def _read(self) -> None:
        self._reads += 1
        asked_at = self._clock()
        if asked_at >= self.ends_at or self.store.version() != self.current.snapshot.version:
            view = View(self.store.keys, self.store.read())
            self.ends_at = self._clock() + view.changes_in_seconds
            self.current = view
        self.fresh_until = min(asked_at + FRESH_SECONDS, self.ends_at)
