"""Reads how long a service asks its callers to wait; such values come from strangers."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

__all__ = ["default_seconds", "seconds_from"]

MAX_LENGTH = 100  # No date that HTTP knows is half as long.
SECONDS_TEXT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?", re.ASCII)

FIRST_SECONDS = 1.0
LONGEST_DEFAULT_SECONDS = 60.0


def seconds_from(value: object, now: float) -> float | None:
    """Seconds to wait, 0 or more, from a number, a text of one, or a date in HTTP's form.

    ``now`` is the present, seconds since 1970. None for everything else.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return _from_text(value.strip(), now)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_number(value)
    return None


def default_seconds(number_in_a_row: int) -> float:
    """What to wait where nothing was said: 1 s, then twice as long each time, up to a minute."""
    doublings = min(max(number_in_a_row, 1) - 1, 30)
    return min(FIRST_SECONDS * 2.0**doublings, LONGEST_DEFAULT_SECONDS)


def _from_text(text: str, now: float) -> float | None:
    if SECONDS_TEXT.fullmatch(text):
        return _from_number(float(text))
    if len(text) > MAX_LENGTH:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, _as_utc(moment).timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):  # As Python's versions have it.
        return None


def _as_utc(moment: datetime) -> datetime:
    """HTTP's dates are in GMT, also where they say so by "-0000" or not at all."""
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _from_number(number: float) -> float | None:
    try:
        seconds = float(number)
    except OverflowError:  # An int with more digits than a float can count.
        seconds = math.inf if number > 0 else 0.0
    return None if math.isnan(seconds) else max(0.0, seconds)
