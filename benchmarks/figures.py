"""Figures: what was measured, and what it was to reach."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from .pairing import Spread

__all__ = ["Figure", "Target", "at_least", "exactly"]


@dataclass(frozen=True, slots=True)
class Target:
    """What the median is to be."""

    text: str
    number: float
    holds: Callable[[float, float], bool]


def at_least(number: float) -> Target:
    """Reached by ``number`` or more."""
    return Target(f">= {number:g}", number, operator.ge)


def exactly(number: float) -> Target:
    """Reached by ``number`` alone."""
    return Target(f"= {number:g}", number, operator.eq)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: ``spread`` in ``unit``, and how long a decision took, if one did."""

    group: str
    name: str
    against: str
    spread: Spread
    unit: str = "x"
    microseconds: float | None = None
    target: Target | None = None
    judged: bool = True

    @property
    def verdict(self) -> str:
        """PASS or MISS where there is a target, and enough was measured to say so."""
        if self.target is None:
            return ""
        if not self.judged:
            return "not judged"
        return "PASS" if self.target.holds(self.spread.median, self.target.number) else "MISS"
