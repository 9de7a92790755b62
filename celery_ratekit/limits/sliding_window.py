"""A sliding window: never more than N calls in any period."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import BadLimitError
from .base import Cost, Key, RatedLimit, RateSource
from .checks import check_whole_cost, check_window_amount, checked_rate

__all__ = ["SlidingWindow"]

MAX_SLIDING_WINDOW = 10_000
"""The most starts that a sliding window remembers; Redis keeps each of them, nine bytes a start."""


class SlidingWindow(RatedLimit):
    """Never more than N calls in any period, exactly; N is a whole number up to 10,000.

    Redis keeps the last N start times of each key. Costs are whole numbers.
    """

    __slots__ = ()
    _own_fields = ("rate",)

    def __init__(
        self,
        name: str = "",
        rate: RateSource | None = None,
        *,
        key: Key | Callable[[Any], Key] = "",
        cost: Cost | Callable[[Any], Cost] = 1,
        tag: str = "",
    ) -> None:
        parsed = checked_rate(rate, name)
        check_window_amount(parsed, name)
        if not parsed.is_unlimited and parsed.amount > MAX_SLIDING_WINDOW:
            raise BadLimitError(
                f"expected at most {MAX_SLIDING_WINDOW:,} calls in the sliding window "
                f"{name or '(unnamed)'!r}, got {parsed.amount:g}; use TokenBucket or FixedWindow, "
                "which keep no list of start times"
            )
        super().__init__(name, key, cost, tag, rate=parsed)

    @property
    def capacity(self) -> float:
        return math.floor(self.rate.amount) if self.rate.amount < math.inf else math.inf

    def check_cost(self, cost: float) -> None:
        check_whole_cost(cost, self.shown_name)
        super().check_cost(cost)
