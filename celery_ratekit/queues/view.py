"""What a process knows of throttled queues without asking each time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..errors import LimiterUnavailableError, QueueNotFound
from ..limits import TokenBucket
from .places import place_of
from .records import QueueRecord, bucket_of
from .store import QueueStore

__all__ = ["QueueBook", "QueueView"]

FRESH_SECONDS = 1.0
"""How long a process relies on what it has read."""

MOST_REMEMBERED = 10_000
MOST_PREFIXES = 100  # They come with the messages.


class QueueView:
    """The queues of one prefix, each read when it is first asked for, for a second at the least.

    Where Redis gives no answer, what was read before still counts. ``clock``: monotonic, seconds.
    """

    def __init__(self, store: QueueStore, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        self._found: dict[str, QueueRecord] = {}
        self._version: bytes | None = None
        self._fresh_until = float("-inf")

    def get(self, name: str) -> QueueRecord | None:
        """The queue; raises LimiterUnavailableError where it was never read and cannot be."""
        if self._clock() >= self._fresh_until:
            self._refresh()
        record = self._found.get(name)
        if record is None:
            record = self.store.get(name)
            if record is not None:
                self._remember(record)
        return record

    def get_many(self, names: Iterable[str]) -> dict[str, QueueRecord]:
        """Those of the names that are queues; one that is not active was read just now.

        Raises LimiterUnavailableError where something has to be read and cannot be.
        """
        wanted = list(dict.fromkeys(names))
        if self._clock() >= self._fresh_until:
            self._refresh()
        known = {
            name: self._found[name]
            for name in wanted
            if name in self._found and self._found[name].is_active
        }
        read = self.store.get_many([name for name in wanted if name not in known])
        for record in read.values():
            self._remember(record)
        return {**known, **read}

    def learn(self, record: QueueRecord) -> None:
        """Takes over what was read elsewhere."""
        if self._found.get(record.place.name) != record:
            self._remember(record)

    def look_again(self) -> None:
        """Looks for changes when the next queue is asked for; may be called from any thread."""
        self._fresh_until = float("-inf")

    def _remember(self, record: QueueRecord) -> None:
        if len(self._found) >= MOST_REMEMBERED:
            self._found.clear()
        self._found[record.place.name] = record

    def _refresh(self) -> None:
        self._fresh_until = self._clock() + FRESH_SECONDS
        try:
            version = self.store.version()
        except LimiterUnavailableError:
            if not self._found:
                raise
            return
        if version != self._version:
            self._found.clear()
            self._version = version


class QueueBook:
    """The throttled queues of one Redis, by prefix; ``make_store`` gives the store of a prefix."""

    def __init__(self, make_store: Callable[[str], QueueStore]) -> None:
        self._make_store = make_store
        self._views: dict[str, QueueView] = {}

    def view(self, prefix: str) -> QueueView:
        """The queues of a prefix."""
        view = self._views.get(prefix)
        if view is None:
            if len(self._views) >= MOST_PREFIXES:
                self._views.clear()
            view = self._views.setdefault(prefix, QueueView(self._make_store(prefix)))
        return view

    def limit(self, header: object) -> TokenBucket:
        """The limit of the queue that a message's header names.

        Where it cannot be read, nothing passes: the message waits. Raises QueueNotFound where there
        is no such queue, and BadOptionError where the header names none.
        """
        place = place_of(header)
        view = self.view(place.prefix)
        try:
            record = view.get(place.name)
            if record is not None and not record.is_active:
                view.look_again()  # Who finds it so will not ask again soon.
                record = view.get(place.name)
        except LimiterUnavailableError:
            return bucket_of(place, "0", 0.0, 1.0)
        if record is None:
            raise QueueNotFound(place.name, place.prefix)
        return record.limit

    def look_again(self) -> None:
        """Has each queue looked at anew when it is next asked for: something was changed."""
        for view in list(self._views.values()):
            view.look_again()
