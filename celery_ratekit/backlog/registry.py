"""Which queues have a backlog: only for views, so a stale word does no harm."""

from __future__ import annotations

from contextlib import suppress

from ..errors import RatekitError
from ..limiter.forks import after_fork
from .caller import Caller
from .ids import raw, text

__all__ = ["Registry"]


class Registry:
    """Names each queue when this process first parks there, and whenever it may have been removed.

    The names lie in another slot than the queues, so nothing changes both at once. Who removes a
    name looks whether the queue is still empty and, if not, puts it back.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._key = caller.keys.backlogs().encode()
        self._named: set[str] = set()
        self._to_name: set[str] = set()
        after_fork(self)

    def forget(self) -> None:
        """Begins anew in a forked child."""
        self._named, self._to_name = set(), set()

    def parked(self, queue: str, *, was_empty: bool) -> None:
        """Something was stored in a queue that ``was_empty`` before."""
        if was_empty or queue not in self._named:
            self._to_name.add(queue)

    def write(self) -> None:
        """Names the queues; where Redis does not answer, the next time."""
        names = list(self._to_name)
        if not names:
            return
        with suppress(RatekitError):
            self._caller.ask(self._caller.plain(b"SADD", self._key, *map(raw, names)))
            self._named.update(names)
            self._to_name.difference_update(names)

    def drained(self, queue: str) -> None:
        """A script found the queue empty; never raises for Redis."""
        caller = self._caller
        with suppress(RatekitError):
            caller.ask(caller.plain(b"SREM", self._key, raw(queue)))
            if caller.ask(caller.of_queue(queue, b"EXISTS", b"m")):
                caller.ask(caller.plain(b"SADD", self._key, raw(queue)))

    def queues(self) -> list[str]:
        """The queues that have a backlog, by name."""
        names = self._caller.ask(self._caller.plain(b"SMEMBERS", self._key))
        return sorted(text(name) for name in names)
