"""What repeated measurements allow to say about their median."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["CONFIDENCE", "interval", "lower_bound"]

CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The interval that holds the true median with at least 95 %; None for less than six values.

    From the sign test, exactly, and whatever the values' distribution: each value is as likely
    above the median as below it, so how many are below is a binomial number.

    >>> interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), interval([1.0, 2.0, 3.0, 4.0, 5.0])
    ((1.0, 6.0), None)
    """
    count = len(values)
    left_out = -1  # at each end
    chance = 0.0  # that the median is beyond what is left out at one end
    while True:
        chance += math.comb(count, left_out + 1) / 2**count
        if chance > (1 - CONFIDENCE) / 2:
            break
        left_out += 1
    if left_out < 0:
        return None
    ordered = sorted(values)
    return ordered[left_out], ordered[count - 1 - left_out]


def lower_bound(values: Sequence[float]) -> float | None:
    """The lower end of `interval`; None where there are too few values for one."""
    found = interval(values)
    return found[0] if found else None
