"""Lower rates for a while, and what was there before: no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..errors import BadRateError
from ..limiter.overrides import Change, End, PutBack, Set, View
from ..rates import MAX_PERIOD_SECONDS, Rate

__all__ = ["giving_back", "reduced_text"]


def reduced_text(rate: Any, factor: float, *, is_window: bool = False) -> str:
    """A default times a factor as text: a rate, or a whole number of places of at least one.

    Of a window below one call it is one call in a longer time: 18 an hour for ``"1/m"`` times 0.3
    would let 18 start at once. Raises BadRateError for a factor that is not above 0.
    """
    if isinstance(rate, int) and not isinstance(rate, bool):
        if not 0 < factor < math.inf:
            raise BadRateError(f"expected a finite factor of more than 0, got {factor!r:.40}")
        return str(max(1, math.floor(rate * factor)) if rate else 0)
    given = Rate.parse(rate)
    scaled = given.scaled(factor)
    if is_window and given.amount >= 1 > given.amount * factor:
        longest = MAX_PERIOD_SECONDS
        return str(Rate(1.0, min(given.period_seconds / (given.amount * factor), longest)))
    return str(scaled)


def giving_back(before: View, changes: Iterable[Change]) -> list[Change]:
    """What undoes ``changes``, as far as nobody has changed the same since."""
    return [back for change in changes if (back := _undoing(before, change)) is not None]


def _undoing(before: View, change: Change) -> Change | None:
    if isinstance(change, PutBack):
        return None
    was = before.live.get(change.place)
    if isinstance(change, Set):
        return End(change.place, change.id) if was is None else PutBack(was, change.id)
    return None if was is None else PutBack(was, "-")
