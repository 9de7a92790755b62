"""Concurrency: so many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import BadLimitError
from .base import Cost, Key, Limit
from .checks import check_whole_cost, checked_size

__all__ = ["Concurrency"]

MAX_CONCURRENCY = 100_000
"""The most places of a concurrency limit; Redis keeps each that is taken."""

DEFAULT_LEASE_SECONDS = 20.0
"""How long the places of a dead worker stay taken; living ones extend theirs far more often."""


class Concurrency(Limit):
    """At most ``size`` calls at a time; each holds a place until it gives it back.

    A place whose holder died comes back when its lease ends: ``lease_seconds`` after it was taken
    or last extended. Costs are whole numbers: the places that one call holds.
    """

    __slots__ = ("lease_seconds", "size")
    _own_fields = ("size", "lease_seconds")
    size: int
    lease_seconds: float

    def __init__(
        self,
        name: str = "",
        size: int | None = None,
        *,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        key: Key | Callable[[Any], Key] = "",
        cost: Cost | Callable[[Any], Cost] = 1,
        tag: str = "",
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_CONCURRENCY:
            raise BadLimitError(
                f"expected a whole number from 0 (paused) to {MAX_CONCURRENCY:,} as size of the "
                f"limit {name!r}, got {size!r:.40}"
            )
        lease = checked_size("lease_seconds", lease_seconds, name)
        super().__init__(name, key, cost, tag, size=size, lease_seconds=lease)

    @property
    def capacity(self) -> float:
        return self.size

    @property
    def is_paused(self) -> bool:
        return self.size == 0

    def check_cost(self, cost: float) -> None:
        check_whole_cost(cost, self.shown_name)
        super().check_cost(cost)

    def _own_parts(self) -> list[str]:
        return [str(self.size) if self.name else f"size={self.size}"]
