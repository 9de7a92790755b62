"""What a fleet has learned, in Redis: one script, one round trip."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from ..limiter import Limiter
from ..limiter.core import doubles
from ..limiter.overrides import ADAPTIVE, End, Place, Set
from ..limiter.scripts import Script
from ..limits import TokenBucket
from ..rates import Rate
from .law import Bounds
from .learning import Answer

__all__ = ["BY", "REASON", "SharedRates", "Told"]

LEARN = Script("law", "learn", package=__package__)
ANSWER = struct.Struct("<dddB")
SAYS_RATE, SAYS_FORGET = 1, 2

BY = "adaptive"
REASON = "learned from how the called service answered"
"""Who has set a rate that was learned, and why, where people look at what is set."""


@dataclass(frozen=True, slots=True)
class Told:
    """That the rate of a name is another now; ``old`` and ``new`` as texts such as "95/s"."""

    name: str
    old: str
    new: str


class SharedRates:
    """The rates that a fleet has learned, by the names of token buckets.

    Each is kept under a key of its own, and told to every process as an override in the layer
    ADAPTIVE, whenever it has changed by 1 % or has met its bounds. What nobody adds to is forgotten
    after a day, or a hundred starts where those take longer. All methods that report raise
    LimiterUnavailableError where Redis gives no answer.

    ``on_told`` is called in the process that has told the others.
    """

    def __init__(self, limiter: Limiter, on_told: Callable[[Told], None] | None = None) -> None:
        self._limiter = limiter
        self._core = limiter.core
        self._on_told = on_told

    def seen(self, name: str) -> float | None:
        """The rate that this process goes by, per second; None: the one where it starts."""
        record = self._limiter.override_book.view().live.get(self._place(name))
        return None if record is None else record.per_second

    def succeeded(self, name: str, bounds: Bounds, count: int) -> Answer:
        """Tells of ``count`` calls that were answered."""
        return self._learn(name, bounds, 0, count, 0.0)

    def throttled(
        self, name: str, bounds: Bounds, granted_us: int | None, freeze_seconds: float
    ) -> Answer:
        """Tells of a 429 to a call that was granted at ``granted_us``; None: that is not known."""
        return self._learn(name, bounds, 1, granted_us or 0, freeze_seconds)

    def _learn(
        self, name: str, bounds: Bounds, is_refusal: int, number: int, freeze_seconds: float
    ) -> Answer:
        seen = self.seen(name) or bounds.start_per_second
        numbers = doubles(
            self._core.clock_us(),
            is_refusal,
            number,
            freeze_seconds,
            bounds.start_per_second,
            bounds.least_per_second,
            bounds.most_per_second,
            seen,
        )
        key = self._core.keys.adaptive(name).encode()
        packed = self._core.run(LEARN, [key], [numbers])
        per_second, lowered_at_us, kept_seconds, says = ANSWER.unpack(packed)
        if says == SAYS_RATE:
            self._limiter.overrides.write([self._record(name, per_second, kept_seconds)])
        elif says == SAYS_FORGET:
            self._limiter.overrides.write([End(self._place(name))])
        if says and per_second != seen and self._on_told is not None:
            self._on_told(Told(name, _text(seen), _text(per_second)))
        return Answer(per_second, lowered_at_us)

    def _record(self, name: str, per_second: float, kept_seconds: float) -> Set:
        return Set(
            self._place(name),
            name,
            what=_text(per_second),
            per_second=per_second,
            seconds=kept_seconds,
            by=BY,
            reason=REASON,
        )

    def _place(self, name: str) -> Place:
        return self._limiter.overrides.place(ADAPTIVE, name, kind=TokenBucket)


def _text(per_second: float) -> str:
    return str(Rate.parse(1).scaled(per_second))
