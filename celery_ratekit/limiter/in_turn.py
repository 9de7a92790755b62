"""Limits that several nodes of a cluster keep: asked one after the other, given back on denial."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from ..errors import LimiterUnavailableError
from ..limits import Limit
from .amending import amending, changes_of_refund
from .core import Core
from .decision import REASONS, Decision, Reservations
from .failure import unavailable
from .prepared import Prepared
from .question import Part, Question
from .steps import Steps

__all__ = ["acquiring_in_turn", "denial_of_group", "reserving_in_turn"]

logger = logging.getLogger(__name__)


def acquiring_in_turn(core: Core, prepared: Prepared, holder: str) -> Steps[Decision]:
    """Asks group after group; one that says no makes those before it give back."""
    question = prepared.question
    starts: dict[Limit, int] = {}
    start = 0
    for group in prepared.groups:
        try:
            answer = yield from core.deciding(group, holder=holder)
        except LimiterUnavailableError as error:
            if not (yield from _giving_back(core, starts, holder)):
                error.maybe_charged = True
            raise
        if not isinstance(answer, int):
            yield from _giving_back(core, starts, holder)
            return denial_of_group(question, group, answer)
        start = answer
        starts.update((part.limit, start) for part in group if part.kind)
    decision = Decision(True, question.limits, 0.0, None, "", start, start, holder)
    if len(prepared.groups) > 1:
        decision.own_starts = starts
    return decision


def reserving_in_turn(
    core: Core, prepared: Prepared, count: int, holder: str
) -> Steps[Reservations]:
    """As many calls as may start now; nothing is promised ahead."""
    decisions: list[Decision] = []
    for done in range(count):
        try:
            decision = yield from acquiring_in_turn(core, prepared, f"{holder}/{done}")
        except LimiterUnavailableError:
            if not decisions:
                raise
            decision = unavailable(prepared.question.limits)
        if not decision:
            return Reservations.denied(decision, after=decisions)
        decisions.append(decision)
    return Reservations.in_turn(decisions)


def denial_of_group(question: Question, group: Sequence[Part], answer: Sequence[Any]) -> Decision:
    """The denial that one group's answer means for the whole call."""
    _, wait, who, why = answer
    return Decision(
        False,
        question.limits,
        math.inf if wait < 0 else wait / 1_000_000,
        group[who - 1].limit,
        REASONS[why],
    )


def _giving_back(core: Core, starts: dict[Limit, int], holder: str) -> Steps[bool]:
    """Whether all was given back that some nodes granted of a call that others did not."""
    taken = Decision(True, tuple(starts), holder=holder)
    taken.own_starts = starts
    try:
        yield from amending(core, taken, changes_of_refund(taken))
    except LimiterUnavailableError as error:
        logger.warning("what a call took of some limits could not be given back: %s", error)
        return False
    return True
