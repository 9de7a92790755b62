"""Lower rates for a while, and what was there before: no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..errors import BadRateError
from ..limiter.overrides import RATE, TEMPORARY, Change, End, PutBack, View
from ..rates import Rate

__all__ = ["giving_back", "reduced_text"]


def reduced_text(rate: Any, factor: float) -> str:
    """A default times a factor as text: a rate, or a whole number of places of at least one.

    Raises BadRateError for a factor that is not above 0.
    """
    if isinstance(rate, int) and not isinstance(rate, bool):
        if not 0 < factor < math.inf:
            raise BadRateError(f"expected a finite factor of more than 0, got {factor!r:.40}")
        return str(max(1, math.floor(rate * factor)) if rate else 0)
    return str(Rate.parse(rate).scaled(factor))


def giving_back(before: View, during: View) -> list[Change]:
    """What brings back the rates of names as they were before, as far as nobody has changed them.

    ``during`` is what was set in between.
    """
    return list(_giving_back(before, during))


def _giving_back(before: View, during: View) -> Iterator[Change]:
    for place, now in during.live.items():
        was = before.live.get(place)
        if place.layer in (RATE, TEMPORARY) and (was is None or was.id != now.id):
            yield End(place, now.id) if was is None else PutBack(was, now.id)
    for place, was in before.live.items():
        if place.layer == TEMPORARY and place not in during.live:
            yield PutBack(was, "-")
