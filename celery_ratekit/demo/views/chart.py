"""A bar chart of counts against a limit, drawn with block characters."""

from __future__ import annotations

from collections.abc import Sequence

from ..progress import Progress

__all__ = ["bars", "counts_over_time", "full_scale", "limit_line"]

EIGHTHS = " ▁▂▃▄▅▆▇█"


def counts_over_time(progress: Progress, columns: int, now: float) -> list[int]:
    """For each column, how many tasks started in the second before its moment.

    The columns share out the whole run, as long as the limit makes it; later ones are not there
    yet. ``now`` is seconds since 1970.
    """
    first, last = progress.first_at, progress.last_at
    if first is None or last is None or columns < 1:
        return []
    end = last if progress.is_complete else now
    span = max(progress.plan.fastest_seconds, end - first)
    drawn = columns if span <= 0 else min(columns, int((end - first) / span * columns + 1e-9))
    return [
        progress.in_second_before(first + span * (column + 1) / columns) for column in range(drawn)
    ]


def full_scale(counts: Sequence[int], limit: float, height: int) -> float:
    """The count at the top of the chart: puts the limit under the top row if the counts allow."""
    return max(limit * height / max(1, height - 1), *counts, 1e-9)


def bars(counts: Sequence[int], scale: float, height: int) -> list[str]:
    """The rows of the chart from the top; each has a character for each count.

    >>> bars([4, 6, 8], 8, 2)
    [' ▄█', '███']
    """
    levels = [round(min(1.0, count / scale) * height * 8) for count in counts]
    return [
        "".join(EIGHTHS[min(8, max(0, level - row * 8))] for level in levels)
        for row in reversed(range(height))
    ]


def limit_line(limit: float, scale: float, height: int) -> tuple[int, str]:
    """In which row from the top the limit lies, and the character that draws it there.

    >>> limit_line(40, 50, 5), limit_line(25, 50, 5)
    ((0, '▁'), (2, '─'))
    """
    level = min(height * 8 - 1, round(limit / scale * height * 8))
    row, eighths = divmod(level, 8)
    line = "▁" if eighths < 3 else "─" if eighths < 6 else "▔"
    return height - 1 - row, line
