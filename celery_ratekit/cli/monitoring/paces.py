"""Reached rates, worked out from what workers counted at two moments: no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .seen import Started, WorkerSeen

__all__ = ["HISTORY", "Pace", "Paces", "pace_between"]

HISTORY = 60
"""How many reached rates of a limit are kept for its graph."""


@dataclass(frozen=True)
class Pace:
    """Starts a second of one limit over all workers, and how late they were on the mean.

    ``late_seconds`` is None where nothing started.
    """

    per_second: float
    late_seconds: float | None


class Paces:
    """Reached rates of all limits, with their past."""

    def __init__(self) -> None:
        self._before: Mapping[str, WorkerSeen] = {}
        self._past: dict[str, deque[float]] = {}
        self._now: dict[str, Pace] = {}
        self.is_known = False
        """Whether some worker was seen twice, so that there is a rate to tell."""

    def add(self, workers: Mapping[str, WorkerSeen], names: Sequence[str]) -> None:
        """Takes in what workers say now; ``names`` are the limits to tell of."""
        both = [(self._before[one], seen) for one, seen in workers.items() if one in self._before]
        self._before = workers
        pairs = [(before, now) for before, now in both if now.clock > before.clock]
        self.is_known = bool(pairs)
        self._now = {name: pace_between(pairs, name) for name in names} if pairs else {}
        self._past = {name: self._past.get(name, deque(maxlen=HISTORY)) for name in names}
        for name, pace in self._now.items():
            self._past[name].append(pace.per_second)

    def of(self, name: str) -> Pace | None:
        """The pace of a limit; None where it cannot be told."""
        return self._now.get(name)

    def past(self, name: str) -> list[float]:
        """The reached rates of a limit, the latest last."""
        return list(self._past.get(name, ()))


def pace_between(pairs: Sequence[tuple[WorkerSeen, WorkerSeen]], name: str) -> Pace:
    """The pace of a limit between two moments of each worker, by the worker's own clock."""
    per_second, count, late = 0.0, 0, 0.0
    for before, now, seconds in _steps(pairs, name):
        per_second += (now.count - before.count) / seconds
        count += now.count - before.count
        late += now.late_seconds - before.late_seconds
    return Pace(per_second, late / count if count else None)


def _steps(
    pairs: Sequence[tuple[WorkerSeen, WorkerSeen]], name: str
) -> Iterator[tuple[Started, Started, float]]:
    """What each worker counted; one that began anew meanwhile tells nothing."""
    nothing = Started(0, 0.0)
    for before, now in pairs:
        was, is_now = before.started.get(name, nothing), now.started.get(name, nothing)
        if is_now.count >= was.count:
            yield was, is_now, now.clock - before.clock
