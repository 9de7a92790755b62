"""Sends what was promised, and has the backlog forget what the broker has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from ...backlog import Backlog, Return
from ...errors import RatekitError
from ...limiter import Limiter
from ...limiter.steps import Command
from ...queues import QueueStore
from .outbox import Outbox
from .promises import Promise

__all__ = ["HELD_SECONDS", "Sender"]

HELD_SECONDS = 15.0
"""What was claimed longer ago is given back: others take a dispatcher that was stopped for twice as
long for dead, and have sent themselves what it had."""


class Sender:
    """Sends for one dispatcher, in its ``name``."""

    def __init__(
        self,
        *,
        backlog: Backlog,
        limiter: Limiter,
        store: QueueStore,
        outbox: Outbox,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backlog = backlog
        self._limiter = limiter
        self._store = store
        self._outbox = outbox
        self._name = name
        self._clock = clock
        self._sent: dict[str, list[bytes]] = {}  # by queue, not yet forgotten by the backlog

    def send(self, due: Sequence[Promise]) -> None:
        """Sends promises; raises what the broker or Redis raised, and gives back what is left."""
        oldest = self._clock() - HELD_SECONDS
        self.give_up([one for one in due if one.claimed_at < oldest])
        left = [one for one in due if one.claimed_at >= oldest]
        self._note_charges(left)
        try:
            while left:
                self._outbox.send(left[0].claim.queue, left[0].parcel)
                one = left.pop(0)
                self._sent.setdefault(one.claim.queue, []).append(one.claim.entry_id)
        except Exception:
            # Where this fails as well, the next turn gives back what nobody has in hand.
            with suppress(RatekitError):
                self._forget_charges(left)
                self.give_up(left)
            raise
        self.finish()

    def finish(self) -> None:
        """Has the backlog forget what was sent; what fails is for the next time."""
        for queue, entries in list(self._sent.items()):
            self._backlog.finish(queue, self._name, entries)
            del self._sent[queue]

    def unfinished(self) -> list[bytes]:
        """The entries of what was sent, and the backlog still has."""
        return [entry for entries in self._sent.values() for entry in entries]

    def give_up(self, promises: Sequence[Promise]) -> None:
        """Puts back what was not sent, with what it was charged."""
        if not promises:
            return
        self._limiter.refund_many([one.decision for one in promises])
        self._backlog.give_back(self._name, [Return(one.claim, one.limit) for one in promises])

    def _note_charges(self, promises: Iterable[Promise]) -> None:
        """A worker with the gate that gets one of these must not charge it again."""
        self._store.ask_all(
            [
                command
                for one in promises
                for command in self._store.opening(
                    one.place.name, [_task_id(one)], one.decision.start_us, is_dispatched=True
                )
            ]
        )

    def _forget_charges(self, promises: Iterable[Promise]) -> None:
        """A worker with the gate that finds one of these in the backlog has to charge it."""
        commands: list[Command] = []
        for one in promises:
            commands += self._store.opening(one.place.name, [_task_id(one)])
        self._store.ask_all(commands)


def _task_id(promise: Promise) -> str:
    return str(promise.parcel.headers["id"])
