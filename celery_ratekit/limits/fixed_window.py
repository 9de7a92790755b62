"""A fixed window: N calls, counted from the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .base import Cost, Key, RatedLimit, RateSource
from .checks import check_window_amount, checked_rate

__all__ = ["FixedWindow"]


class FixedWindow(RatedLimit):
    """At most N calls in a window, counted from the first call in it.

    Two windows may meet, so up to 2 N calls can start within one period around the boundary; use
    SlidingWindow where that matters.
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
        super().__init__(name, key, cost, tag, rate=parsed)

    @property
    def capacity(self) -> float:
        return self.rate.amount
