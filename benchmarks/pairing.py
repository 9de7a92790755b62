"""The arithmetic of paired blocks: what is compared ran side by side, so noise meets both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

__all__ = ["Pair", "Spread", "order", "ratios", "spread"]


class Pair(NamedTuple):
    """Seconds per decision of two neighbouring blocks."""

    subject: float
    reference: float


@dataclass(frozen=True, slots=True)
class Spread:
    """What repeated measurements say together: the middle one, and the ends."""

    least: float
    median: float
    most: float


def order(round_number: int) -> tuple[str, str]:
    """Which of the two runs first: each of them does in half of the rounds."""
    return ("subject", "reference") if round_number % 2 == 0 else ("reference", "subject")


def ratios(pairs: Sequence[Pair]) -> list[float]:
    """How many times the reference's time goes into one time of the subject; above 1 is faster."""
    return [pair.reference / pair.subject for pair in pairs]


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    return Spread(min(values), median(values), max(values))
