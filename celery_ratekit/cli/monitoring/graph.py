"""A small graph of one line: no I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["ASCII", "BLOCKS", "graph"]

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=*#"
"""For terminals that know no others."""


def graph(values: Sequence[float], full: float, columns: int, steps: str = BLOCKS) -> str:
    """The last values, one column each; the highest step stands for ``full`` and all above.

    Where ``full`` is none, such as infinity, the largest value takes its place.

    >>> graph([0, 5, 10, 20], full=10, columns=10)
    '▁▅██'
    """
    shown = list(values)[-columns:] if columns > 0 else []
    if not (math.isfinite(full) and full > 0):
        full = max(shown, default=0.0)
    return "".join(steps[_step(value, full, len(steps))] for value in shown)


def _step(value: float, full: float, count: int) -> int:
    if full <= 0:
        return 0
    return min(count - 1, max(0, math.floor(value / full * (count - 1) + 0.5)))
