"""A token bucket: continuous refill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .base import Cost, Key, RatedLimit, RateSource
from .checks import checked_rate, checked_size, shown_number

__all__ = ["TokenBucket"]


class TokenBucket(RatedLimit):
    """Continuous refill: at most ``burst + rate x W`` in any stretch of W seconds.

    ``burst`` is the capacity in tokens: ``rate``'s own where it says one (``"10/m:5"``), else 1,
    which spaces calls evenly. ``lowered_at`` is when the rate was last lowered (seconds since
    1970, 0: not known): keys that expired under the higher rate then start empty at that moment
    instead of full.
    """

    __slots__ = ("burst", "lowered_at")
    _own_fields = ("rate", "burst", "lowered_at")
    burst: float
    lowered_at: float

    def __init__(
        self,
        name: str = "",
        rate: RateSource | None = None,
        burst: float | None = None,
        *,
        key: Key | Callable[[Any], Key] = "",
        cost: Cost | Callable[[Any], Cost] = 1,
        tag: str = "",
        lowered_at: float = 0.0,
    ) -> None:
        parsed = checked_rate(rate, name)
        size = parsed.burst if burst is None else burst
        size = 1.0 if size is None else checked_size("burst", size, name)
        super().__init__(name, key, cost, tag, rate=parsed, burst=size, lowered_at=lowered_at)

    @property
    def capacity(self) -> float:
        return self.burst

    def with_rate(self, rate: RateSource, *, lowered_at: float | None = None) -> TokenBucket:
        """The same limit at another rate; its burst stays where the new rate says none."""
        parsed = checked_rate(rate, self.name)
        return self._with(
            rate=parsed,
            burst=self.burst if parsed.burst is None else parsed.burst,
            lowered_at=self.lowered_at if lowered_at is None else lowered_at,
        )

    def _own_parts(self) -> list[str]:
        parts = super()._own_parts()
        if self.burst != (self.rate.burst or 1):
            parts.append(f"burst={shown_number(self.burst)}")
        return parts
