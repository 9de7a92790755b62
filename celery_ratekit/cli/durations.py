"""How long something takes, in few characters."""

from __future__ import annotations

import math

__all__ = ["short"]

UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))

TENTHS_BELOW_SECONDS = 10


def short(seconds: float) -> str:
    """The two largest units of a time.

    >>> [short(seconds) for seconds in (0, 2.44, 59.6, 75, 3_600, 90_061)]
    ['0s', '2.4s', '1m', '1m 15s', '1h', '1d 1h']
    """
    if not math.isfinite(seconds):
        return "unknown"
    if 0 < seconds < TENTHS_BELOW_SECONDS:
        return f"{seconds:.1f}s"
    left = round(seconds)
    parts = []
    for unit_seconds, unit in (*UNITS, (1, "s")):
        count, left = divmod(left, unit_seconds)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
