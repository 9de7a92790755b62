"""What each limit holds now, read from the core's answers."""

from __future__ import annotations

import math
from dataclasses import replace

from ..limits import Limit
from .core import Core
from .decision import REASONS, LimitState
from .prepared import Prepared

__all__ = ["inspect_limits"]


def inspect_limits(core: Core, prepared: Prepared) -> list[LimitState]:
    """The state of each limit of the question, in order."""
    states: dict[Limit, LimitState] = {}
    for group in prepared.groups:
        answer = core.inspect(group)
        for index, part in enumerate(group):
            available, wait, frozen, why = answer[1 + index * 4 : 5 + index * 4]
            state = LimitState(
                part.limit,
                float(available),
                part.limit.capacity,
                math.inf if wait < 0 else wait / 1e6,
                frozen / 1e6,
                REASONS[why] if wait else "",
            )
            seen = states.get(part.limit)
            states[part.limit] = _narrower(seen, state, is_freeze=part.kind == 0)
    question = prepared.question
    return [
        _paused(states[limit]) if question.pauses(limit) else states[limit]
        for limit in question.limits
    ]


def _paused(state: LimitState) -> LimitState:
    return replace(state, wait_seconds=math.inf, reason="paused")


def _narrower(seen: LimitState | None, state: LimitState, *, is_freeze: bool) -> LimitState:
    """What two parts of one limit say together: its own state, and a freeze of its whole name."""
    if seen is None:
        return state
    own, freeze = (seen, state) if is_freeze else (state, seen)
    if freeze.frozen_seconds <= own.wait_seconds:
        return own
    return LimitState(
        own.limit,
        own.available,
        own.capacity,
        freeze.frozen_seconds,
        max(own.frozen_seconds, freeze.frozen_seconds),
        "frozen",
    )
