"""Checks of what people give as name, key, cost, rate and size; each returns what it checked."""

from __future__ import annotations

import math
from uuid import UUID

from ..errors import BadKeyError, BadLimitError, BadRateError
from ..rates import Rate

__all__ = [
    "check_whole_cost",
    "check_window_amount",
    "checked_cost",
    "checked_key",
    "checked_rate",
    "checked_size",
    "checked_text",
    "shown_number",
]

LARGEST_SIZE = 1e13
"""Above the largest burst that a rate can say, and exact in the core's arithmetic."""


def checked_text(field: str, value: object) -> str:
    """``value`` if it is a text; raises BadKeyError naming the ``field`` otherwise."""
    if not isinstance(value, str):
        raise BadKeyError(
            f"expected a text as {field} of a limit, got {type(value).__name__}; "
            'name what is limited, for example "stripe"'
        )
    return value


def checked_key(key: object, name: str) -> str | int | UUID:
    """``key`` if it can be counted under; raises BadKeyError otherwise."""
    if isinstance(key, bool) or not isinstance(key, (str, int, UUID)):
        raise BadKeyError(
            f"expected a text, a whole number or a UUID as key of the limit {name!r}, got "
            f"{type(key).__name__}; turn it into a text that tells the callers apart"
        )
    return key


def checked_cost(cost: object, name: str) -> float:
    """``cost`` if it is a finite number of 0 or more; raises BadLimitError otherwise."""
    if (
        isinstance(cost, bool)
        or not isinstance(cost, (int, float))
        or not math.isfinite(cost)
        or cost < 0
    ):
        raise BadLimitError(
            f"expected a finite cost of 0 or more for the limit {name!r}, got {cost!r:.40}"
        )
    return cost


def checked_rate(rate: object, name: str) -> Rate:
    """The rate that was given in any form; raises BadRateError where it is none."""
    if not isinstance(rate, (Rate, str, int, float)):
        raise BadRateError(
            f'expected a rate such as "100/m" for the limit {name or "(unnamed)"!r}, got '
            f"{'none' if rate is None else type(rate).__name__}"
        )
    return Rate.parse(rate)


def checked_size(field: str, value: object, name: str) -> float:
    """``value`` if it is a number of more than 0; raises BadLimitError otherwise."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value <= LARGEST_SIZE
    ):
        raise BadLimitError(
            f"expected a number of more than 0 as {field} of the limit {name!r}, got {value!r:.40}"
        )
    return float(value)


def check_window_amount(rate: Rate, name: str) -> None:
    """Raises BadLimitError where a window could never let a call pass."""
    if 0 < rate.amount < 1:
        raise BadLimitError(
            f"expected at least 1 call per window for the limit {name!r}, got {rate}; a window of "
            f'less lets none pass: write for example "1/{rate.period_seconds / rate.amount:g}s"'
        )


def check_whole_cost(cost: float, name: str) -> None:
    """Raises BadLimitError for a fraction of a call."""
    if cost != int(cost):
        raise BadLimitError(
            f"expected a whole number as cost of the limit {name!r}, got {cost:g}; it counts "
            "calls, only TokenBucket takes fractions"
        )


def shown_number(value: object) -> str:
    """A number as people write it; anything else as Python shows it."""
    return f"{value:g}" if isinstance(value, (int, float)) else repr(value)
