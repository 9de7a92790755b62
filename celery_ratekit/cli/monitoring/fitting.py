"""How many rows of each table fit onto a screen: no I/O."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["fitted"]


def fitted(sizes: Sequence[int], lines: int) -> list[int]:
    """How many rows each table shows where all share so many lines.

    Small tables are shown whole; the larger ones share alike what is left, and each of them loses a
    line in which it says how many more there are.

    >>> fitted([2, 3], lines=10), fitted([2, 50, 30], lines=22)
    ([2, 3], [2, 9, 9])
    """
    shown = list(sizes)
    left = max(0, lines)
    in_order = sorted(range(len(sizes)), key=lambda number: sizes[number])
    for done, number in enumerate(in_order):
        share = left // (len(sizes) - done)
        if sizes[number] > share:
            shown[number] = max(0, share - 1)
        left -= min(sizes[number], share)
    return shown
