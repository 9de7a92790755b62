"""The order inside of a throttled queue."""

from __future__ import annotations

__all__ = ["MOST_PRIORITY", "rank_in_queue"]

MOST_PRIORITY = 127
"""Higher priorities count as this one: each has two ranks, and there are 256."""


def rank_in_queue(priority: int, *, lowest_first: bool, was_sent: bool) -> int:
    """Which of two tasks of a queue goes first: 0 before 255.

    ``lowest_first``: whether the broker takes 0 for the highest priority. ``was_sent``: a task that
    was sent when it could start, and comes too late, goes before those of its priority that have
    waited since.

    >>> rank_in_queue(0, lowest_first=True, was_sent=True)
    0
    >>> rank_in_queue(0, lowest_first=True, was_sent=False)
    1
    """
    kept = max(0, min(priority, MOST_PRIORITY))
    place = kept if lowest_first else MOST_PRIORITY - kept
    return 2 * place + (not was_sent)
