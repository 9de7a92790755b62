"""What each kind promises, checked against the starts that were granted and nothing else.

Times are us on a clock that only goes forward. Costs that were given back before a window count in
it no more: ``changes`` are (time, cost) of starts, of debts and, negative, of what came back.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

Change = tuple[float, float]

ROUNDING = 1e-6  # of a count; sums of costs with a fraction
TICK = 1.0  # us; starts are whole microseconds


def check_token_bucket(
    changes: Iterable[Change], burst: float, added: Callable[[float, float], float]
) -> None:
    """In any window no more than the burst and what was added: ``added(from, to)`` in tokens."""
    events = sorted(changes)
    for begin in {time for time, _ in events}:
        total = 0.0
        for end, cost in events[bisect_left(events, (begin, -math.inf)) :]:
            total += cost
            allowed = burst + added(begin - TICK, end)
            assert total <= allowed * (1 + 1e-9) + ROUNDING, (
                f"{total} from {begin} to {end}, allowed {allowed}"
            )


def check_sliding_window(changes: Iterable[Change], size: float, period: int) -> None:
    """Never more than ``size`` in any ``period``, the starts that came back left out."""
    starts = sorted(changes)
    for first, (begin, _) in enumerate(starts):
        total = sum(cost for start, cost in starts[first:] if start < begin + period)
        assert total <= size + ROUNDING, f"{total} within {period} us from {begin}, allowed {size}"


def check_fixed_window(changes: Iterable[Change], size: float, period: int) -> None:
    """Windows that do not overlap can be laid so that each holds at most ``size``.

    So no period holds more than twice that, nor k periods more than k + 1 times.
    """
    starts = sorted(changes)
    for first, (begin, _) in enumerate(starts):
        total = 0.0
        for start, cost in starts[first:]:
            total += cost
            windows = math.floor((start - begin) / period) + 2
            assert total <= windows * size + ROUNDING, (
                f"{total} from {begin} to {start}, allowed {windows} windows of {size}"
            )


def check_scheduled_bucket(
    changes: Iterable[Change], maximum: float, amount: float, instants: Sequence[float]
) -> None:
    """In any window no more than the maximum and what its instants add."""
    events = sorted(changes)
    for begin in {time for time, _ in events}:
        total = 0.0
        for end, cost in events[bisect_left(events, (begin, -math.inf)) :]:
            total += cost
            within = sum(begin < instant <= end for instant in instants)
            allowed = maximum + amount * within
            assert total <= allowed + ROUNDING, f"{total} from {begin} to {end}, allowed {allowed}"


def check_concurrency(changes: Iterable[Change], size: float) -> None:
    """Never more held than ``size``: what is taken counts up, what comes back counts down."""
    # What comes back at a moment comes back before what is taken at it.
    for held in accumulate(cost for _, cost in sorted(changes, key=lambda one: (one[0], one[1]))):
        assert held <= size, f"{held} held of {size}"
