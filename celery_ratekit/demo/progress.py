"""How far a run has come, for whoever shows it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from .journal import Start
from .plan import Plan

__all__ = ["Progress"]


class Progress:
    """The starts so far. Moments are seconds since 1970."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: How many tasks were sent.
        self.sent = 0
        #: How many of those that wait were in the workers when last looked at, not in the queue.
        self.held = 0
        #: Every start, in the order of the journal.
        self.starts: list[Start] = []
        self._numbers: set[int] = set()
        self._moments: list[float] = []

    def add(self, starts: Iterable[Start]) -> None:
        """Takes further starts into account."""
        for start in starts:
            self.starts.append(start)
            self._numbers.add(start.number)
            self._moments.append(start.started_at)
        self._moments.sort()

    @property
    def done(self) -> int:
        """How many tasks ran."""
        return len(self._numbers)

    @property
    def waiting(self) -> int:
        """How many tasks were sent and have not run."""
        return self.sent - self.done

    @property
    def is_complete(self) -> bool:
        """Whether every task ran."""
        return self.done >= self.plan.tasks

    @property
    def first_at(self) -> float | None:
        """The first start; None before it."""
        return self._moments[0] if self._moments else None

    @property
    def last_at(self) -> float | None:
        """The latest start; None before the first."""
        return self._moments[-1] if self._moments else None

    def in_last_second(self, now: float) -> int:
        """How many tasks started in the second until ``now``, or until the end of the run."""
        end = self.last_at if self.is_complete else None
        return self.in_second_before(now if end is None else end)

    def in_second_before(self, moment: float) -> int:
        """How many tasks started in the second that ends at ``moment``."""
        return bisect_right(self._moments, moment) - bisect_left(self._moments, moment - 1)
