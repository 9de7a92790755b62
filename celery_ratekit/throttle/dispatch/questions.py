"""Which queues a dispatcher asks for how many starts, and which of their lines gets how many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...backlog import DueLine
from ...limits import TokenBucket
from ...queues import QueueRecord

__all__ = ["HORIZON_SECONDS", "Question", "questions_for", "spread"]

HORIZON_SECONDS = 0.2
"""How far ahead starts are promised: the round trips of a moment go into one, and what a stall of
the dispatcher saves up is no more than that much of each rate."""


@dataclass(frozen=True, slots=True)
class Question:
    """Lines of one queue, and how many starts it is asked for."""

    record: QueueRecord
    lines: list[DueLine]
    count: int

    @property
    def limit(self) -> TokenBucket:
        """The queue's limit as it is now."""
        return self.record.limit


def questions_for(
    records: Iterable[QueueRecord], lines: Mapping[str, list[DueLine]], room: int
) -> tuple[list[Question], bool]:
    """What each queue is asked for, ``room`` in all; whether some are left out.

    Those that can let start least come first, so no large one takes the room of many.
    """
    wanted = [(_most_of(one, lines[one.place.name]), one) for one in records]
    questions: list[Question] = []
    for count, record in sorted(wanted, key=lambda one: one[0]):
        if room <= 0:
            return questions, True
        questions.append(Question(record, lines[record.place.name], min(count, room)))
        room -= count
    return questions, room < 0


def _most_of(record: QueueRecord, lines: Iterable[DueLine]) -> int:
    """How many of the waiting could start within the horizon, if none had lately."""
    waiting = sum(line.waiting for line in lines)
    most = record.burst + record.limit.rate.per_second * HORIZON_SECONDS
    return waiting if most >= waiting else max(1, math.ceil(most))


def spread(count: int, lines: Sequence[DueLine]) -> list[int]:
    """So many starts for the lines of one queue, evenly as far as each has as many waiting."""
    shares = [0] * len(lines)
    left = min(count, sum(line.waiting for line in lines))
    while left:
        open_lines = [n for n, line in enumerate(lines) if shares[n] < line.waiting]
        each = max(1, left // len(open_lines))
        for n in open_lines:
            step = min(each, lines[n].waiting - shares[n], left)
            shares[n] += step
            left -= step
    return shares
