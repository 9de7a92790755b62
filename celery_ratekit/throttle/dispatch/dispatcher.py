"""Sends to plain workers what waits in throttled queues, each task at its start.

What it limits is sending: a plain worker that is busy starts later what it was sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable

from ...backlog import Backlog
from ...limiter import Limiter
from ...limiter.prepared import random_id
from ...queues import QueueBook
from ...worker.backlog.liveness import Liveness
from .outbox import Outbox
from .promises import Hand
from .sending import Sender
from .sweeping import Sweeper
from .taking import Taker

__all__ = ["Dispatcher"]

LOOK_SECONDS = 0.05
"""The time between two looks where tasks wait for their limits: what becomes due meanwhile is asked
for in one round trip, and still ahead of its start."""

MOST_IN_HAND = 300
"""How many promises may wait to be sent: a dispatcher that is too slow asks for no more."""

SENT_AT_ONCE = 50
"""After so many it is time to see whether others have become due."""

TARGETS_SECONDS = 60.0
"""How often to look for queues that go elsewhere, and for those that have expired."""

SHORTEST_SLEEP_SECONDS = 0.003
"""What becomes due within that goes in one batch."""


class Dispatcher:
    """One of any number of dispatchers of the queues of one prefix.

    ``targets`` are Celery's queues that these go to. A task is granted its start, claimed in this
    dispatcher's name, sent at its start, and forgotten once the broker has it: what is interrupted
    waits again. One that dies between the last two steps has its task sent again. What is late is
    sent all the same, so a slow machine sends at its own speed.
    """

    def __init__(
        self,
        *,
        backlog: Backlog,
        limiter: Limiter,
        queues: QueueBook,
        prefix: str,
        targets: Callable[[], Iterable[str]],
        outbox: Outbox,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"dispatcher:{random_id()}"
        self._backlog = backlog
        self._view = queues.view(prefix)
        self._find_targets = targets
        self._clock = clock
        self._liveness = Liveness(backlog, self.name)
        self._hand = Hand()
        self._taker = Taker(backlog, limiter, self._view, self.name, clock)
        self._sender = Sender(
            backlog=backlog,
            limiter=limiter,
            store=self._view.store,
            outbox=outbox,
            name=self.name,
            clock=clock,
        )
        self._sweeper = Sweeper(backlog, self.name, clock)
        self._is_uncertain = False
        self._changed: set[str] = set()
        self._look_at: dict[str, float] = {}
        self._targets_at = float("-inf")

    def turn(self, interval: float) -> float:
        """Does what is due; seconds until the next turn, ``interval`` at the most."""
        if self._is_uncertain:
            self._mend()
        self._is_uncertain = True  # until the turn comes to its end
        self._liveness.begin()
        self._find_out()
        self._sweeper.sweep(self._look_at)
        for target, at in list(self._look_at.items()):
            if self._clock() >= at:
                self._look_at[target] = self._take(target, interval)
        self._sender.send(self._hand.pop_due(self._clock(), SENT_AT_ONCE))
        self._is_uncertain = False
        return self._sleep_seconds(interval)

    def look_soon(self, changed: Collection[str] = ()) -> None:
        """Has the next turn look into every backlog; limits of these names were ``changed``."""
        self._look_at = dict.fromkeys(self._look_at, float("-inf"))
        self._view.look_again()
        beginning = f"{self._view.store.prefix}/"
        self._changed |= {
            name.removeprefix(beginning) for name in changed if name.startswith(beginning)
        }

    def end(self) -> None:
        """Gives back what was not sent, and says that this one is gone."""
        try:
            self._sender.give_up(self._hand.pop_all())
            self._mend()
        finally:
            self._liveness.end()

    def _mend(self) -> None:
        """Gives back what a turn that failed may have left claimed."""
        self._sweeper.put_off()
        self._sender.finish()
        keep = self._hand.entries()
        for target in self._look_at:
            self._backlog.give_back_all(target, self.name, keep=keep)

    def _find_out(self) -> None:
        """Learns of other targets, and of queues whose limit is another than when it said no."""
        if self._clock() >= self._targets_at:
            self._view.store.expire()
            self._add(self._find_targets())
            self._targets_at = self._clock() + TARGETS_SECONDS
        if not self._changed:
            return
        for name, record in self._view.get_many(self._changed).items():
            self._add([record.target])
            if self._taker.denied.get(name, record.limit) != record.limit:
                self._backlog.wake(record.target, limit_name=record.place.limit_name)
                del self._taker.denied[name]
        self._changed.clear()

    def _add(self, targets: Iterable[str]) -> None:
        for target in targets:
            self._look_at.setdefault(target, float("-inf"))

    def _take(self, target: str, interval: float) -> float:
        """Takes into the hand what may be sent soon; when to look again."""
        room = MOST_IN_HAND - len(self._hand)
        if room <= 0:
            return self._clock() + LOOK_SECONDS
        taken = self._taker.take(target, room)
        self._hand.add(taken.promises)
        wait = min(interval, taken.again_seconds)
        return self._clock() + (max(LOOK_SECONDS, wait) if wait > 0 else 0.0)

    def _sleep_seconds(self, interval: float) -> float:
        now = self._clock()
        moments = (*self._look_at.values(), self._hand.next_at, now + interval, math.inf)
        wait = min(moments) - now
        return max(SHORTEST_SLEEP_SECONDS, wait) if wait > 0 else 0.0
