"""How many calls each limit has let start in this worker: what a reached rate is told from."""

from __future__ import annotations

from collections.abc import Sequence

from ...limits import Limit

__all__ = ["Started"]

MOST_NAMES = 1_000
"""How many names are counted; beyond, the one that came first begins anew."""


class Started:
    """Counts since the worker began, by the name of the limit: names are configured, keys are not.

    ``count`` is called at each start of a limited task, and does next to nothing.
    """

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, list[float]] = {}

    def count(self, limits: Sequence[Limit], late_seconds: float) -> None:
        """A call with these limits starts; ``late_seconds`` after they and the pool allowed it."""
        names = {limit.name for limit in limits} if len(limits) > 1 else (limits[0].name,)
        for name in names:
            counted = self._by_name.get(name)
            if counted is None:
                counted = self._new(name)
            counted[0] += 1
            counted[1] += late_seconds

    def shown(self) -> dict[str, list[float]]:
        """By name: how many starts, and the sum of how late they were, seconds."""
        counted = list(self._by_name.items())  # Another thread may count meanwhile.
        return {name: [count, round(late, 6)] for name, (count, late) in counted}

    def _new(self, name: str) -> list[float]:
        if len(self._by_name) >= MOST_NAMES:
            del self._by_name[next(iter(self._by_name))]
        counted = self._by_name[name] = [0, 0.0]
        return counted
