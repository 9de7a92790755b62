"""How many starts a worker asks for, and how many requests it pulls, for the slots that it has."""

from __future__ import annotations

from collections.abc import Callable

from .held import HORIZON_SECONDS
from .running import Running
from .slots import Slots
from .waiting import WaitingRoom

__all__ = ["SOON_SECONDS", "Demand"]

SOON_SECONDS = 0.1
"""How far ahead a slot is promised to several starts, while its tasks are over at once."""

MOST_RUNS = 16
"""How many such starts a slot is promised to: these are late where the first takes long."""

MARGIN = 2.0
"""How much longer than the last ones a task may take and not delay a start that is promised."""


class Demand:
    """Counts by what is promised already, and by how long the last tasks took.

    ``slots`` in its methods are those to be used now; ``clock`` is the gate's.
    """

    def __init__(self, slots: Slots, running: Running, clock: Callable[[], float]) -> None:
        self._slots = slots
        self._running = running
        self._clock = clock

    def to_pull(self, room: WaitingRoom, slots: int) -> int:
        """How many requests to bring in from elsewhere."""
        return slots + self._later_starts(slots, 1) - self._taken(room)

    def ahead(self, room: WaitingRoom, slots: int) -> int:
        """How many starts to ask for within the horizon."""
        return slots - self._taken(room)

    def soon(self, room: WaitingRoom, slots: int) -> int:
        """How many starts to ask for that lie a little ahead, beyond those that are promised."""
        could_start = min(slots + self._later_starts(slots, MOST_RUNS), len(room))
        wanted = could_start - self._taken(room)
        # Not one by one: each question costs as much as the start of a task.
        return wanted if 2 * wanted >= could_start else 0

    def at_once(self, room: WaitingRoom, slots: int) -> int:
        """How many starts to ask for at this very moment, for lines that have none promised.

        A slot that is promised to a later start is free until then for whoever may start now.
        """
        return min(max(0, slots), room.granted_count)

    def _taken(self, room: WaitingRoom) -> int:
        """How many slots are not free for a task that starts now, because of promised starts.

        A start that lies further ahead than tasks take stands in nobody's way: else the far starts
        of a slow limit would keep idle slots from a faster one. There may be only as many of these
        as the slots can run within the horizon.
        """
        granted = room.granted_count
        typical_seconds = self._running.typical_seconds
        ahead = max(SOON_SECONDS, MARGIN * typical_seconds)
        runs = min(MOST_RUNS, HORIZON_SECONDS / max(typical_seconds, SOON_SECONDS))
        if not granted or ahead >= HORIZON_SECONDS or granted >= runs * self._slots.size:
            return granted
        return room.granted_until(self._clock() + ahead)

    def _later_starts(self, slots: int, most_runs: int) -> int:
        """How many starts to promise to slots beyond the next of each.

        While tasks are over at once, each slot can keep several such promises: at high rates the
        next start would else be asked for when it is due already. Not where tasks queue for slots:
        these starts would queue behind all that came since.
        """
        if slots <= 0 or self._slots.idle <= 0:
            return 0
        return self._slots.size * min(most_runs, self._running.runs_within(SOON_SECONDS))
