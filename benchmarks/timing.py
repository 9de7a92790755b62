"""Measuring: two contenders take turns in short blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .pairing import Pair, order

__all__ = ["Contender", "Effort", "WrongAnswerError", "paired_blocks", "warm_up"]


class WrongAnswerError(Exception):
    """A contender did not do what it is measured for, such as granting."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One call whose time is taken.

    ``right`` tells whether an answer is what the name says. ``decisions`` are made by one call.
    ``before`` runs before each block, and its time is not taken.
    """

    name: str
    call: Callable[[], Any]
    right: Callable[[Any], bool] = bool
    decisions: int = 1
    before: Callable[[], object] = lambda: None

    def check(self) -> None:
        """Raises WrongAnswerError where the contender does something else than its name says."""
        answer = self.call()
        if not self.right(answer):
            raise WrongAnswerError(f"{self.name}: unexpected answer {answer!r:.200}")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: each row in ``passes``, each of ``rounds`` pairs of blocks."""

    passes: int
    rounds: int
    calls: int


def warm_up(contender: Contender, calls: int) -> None:
    """Lets scripts be loaded, connections be opened and caches be filled; checks the answer."""
    contender.before()
    contender.check()
    _block(contender, calls)


def paired_blocks(subject: Contender, reference: Contender, effort: Effort) -> list[Pair]:
    """The times of one pass; both contenders are still right after it."""
    contenders = {"subject": subject, "reference": reference}
    pairs = [
        Pair(**{name: _block(contenders[name], effort.calls) for name in order(number)})
        for number in range(effort.rounds)
    ]
    for contender in (subject, reference):
        contender.check()
    return pairs


def _block(contender: Contender, calls: int) -> float:
    """Seconds per decision."""
    contender.before()
    call = contender.call
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started) / (calls * contender.decisions)
