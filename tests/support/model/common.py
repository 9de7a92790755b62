"""What the kinds share: how a start is asked for, and the roundings that the core documents."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Protocol

Time = int | Fraction | float  # us; infinite where nobody knows

EPSILON = Fraction(1, 1024)  # us, below which a difference is rounding
NEVER = math.inf
DAY = 86_400_000_000


class State(Protocol):
    """What a limit counts for one key.

    ``look`` brings it up to date: all else speaks of that moment. ``changed`` says that this alone
    is worth writing, even where nothing is charged.
    """

    changed: bool

    def look(self, limit: Any, now: int) -> None: ...

    def is_worth_storing(self) -> bool:
        """Whether there is anything to write; tidies up before it is written."""
        ...

    def earliest(self, cost: Fraction) -> tuple[Time, str]:
        """When a call of this cost could start, us from now, and what stands in the way."""
        ...

    def charge(self, cost: Fraction, start: Time) -> None: ...

    def amend(self, change: Fraction, charged: int, asked: int) -> None: ...


def ceil_us(time: Time) -> int:
    return math.ceil(time - EPSILON)


def rounding_of(cost: Fraction) -> Fraction:
    return min(cost, Fraction(1)) / 1_000_000


def exact(number: object) -> Fraction:
    """A number of a limit, exactly; sums of costs with a fraction are then exact as well."""
    assert isinstance(number, (int, float))
    return Fraction(number)
