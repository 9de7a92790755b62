"""The rows of the table: what was measured, how often, and what it was to reach."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from ..figures import Target

__all__ = ["Measured", "at_most"]


@dataclass(frozen=True, slots=True)
class Measured:
    """``values`` of several runs, in ``unit``; ``judge`` gives the one that the target is about.

    Where ``judge`` gives None, too little was measured to say anything.
    """

    group: str
    name: str
    values: Sequence[float]
    unit: str = "x"
    target: Target | None = None
    judge: Callable[[Sequence[float]], float | None] = median
    judged: bool = True

    @property
    def verdict(self) -> str:
        """PASS or MISS where there is a target, and enough was measured to say so."""
        if self.target is None:
            return ""
        number = self.judge(self.values) if self.judged else None
        if number is None:
            return "not judged"
        return "PASS" if self.target.holds(number, self.target.number) else "MISS"


def at_most(number: float) -> Target:
    """Reached by ``number`` or less."""
    return Target(f"<= {number:g}", number, operator.le)
