"""Starts that may lie ahead: how they are asked for, and what the core's answer says."""

from __future__ import annotations

import math
from typing import Any

from ..errors import LimiterUnavailableError, ReservationError
from ..limits import TokenBucket
from .ask import Ask
from .core import Core
from .decision import REASONS, Decision, Reservations
from .failure import FailurePolicy, reservations_by
from .in_turn import denial_of_group, reserving_in_turn
from .prepared import Prepared, random_id
from .question import KEEP, RESERVE, YIELD, Part
from .steps import Steps

__all__ = ["reserving"]

MAX_COUNT = 100_000
"""The most starts of one reservation."""


def reserving(
    core: Core,
    policy: FailurePolicy,
    ask: Ask,
    *,
    owner: str | None = None,
    holder: str | None = None,
) -> Steps[Reservations]:
    """The starts of ``ask``; where Redis gives no answer, what ``policy`` lets start."""
    _check(ask, owner)
    prepared = core.prepared(ask.limits)
    question = prepared.question
    if not question.limits:
        return Reservations(question.limits, ask.count, holder=holder or "")
    if question.paused is not None:
        return Reservations.denied(
            Decision(False, question.limits, math.inf, question.paused, "paused")
        )
    if not holder:
        holder = random_id() if prepared.has_places else ""
    try:
        if not prepared.promises_ahead:
            return (yield from reserving_in_turn(core, prepared, ask.count, holder))
        for group in prepared.groups[: prepared.freeze_groups]:
            answer = yield from core.deciding(group, holder=holder)
            if not isinstance(answer, int):
                return Reservations.denied(denial_of_group(question, group, answer))
        return (yield from _reserving_at_once(core, prepared, ask, owner, holder))
    except LimiterUnavailableError as error:
        return reservations_by(policy, question.limits, ask.count, error)


def _reserving_at_once(
    core: Core, prepared: Prepared, ask: Ask, owner: str | None, holder: str
) -> Steps[Reservations]:
    question = prepared.question
    reservation_id = ""
    extra_keys: list[bytes] = []
    extra_arguments: list[bytes] = []
    operation = RESERVE if owner is None else KEEP
    group = prepared.groups[-1]
    if ask.yields:
        operation = YIELD
        extra_keys += [core.keys.mark(part.limit).encode() for part in _with_state(group)]
        extra_arguments.append(b"%d" % len(extra_keys))
    if owner is not None:
        reservation_id = random_id()
        extra_keys.append(core.keys.reservation(question.limits[0], reservation_id).encode())
        extra_arguments.append(owner.encode("utf-8", "surrogatepass"))
    answer = yield from core.deciding(
        group,
        operation=operation,
        count=ask.count,
        horizon_us=ask.horizon * 1e6,
        apart_us=ask.apart * 1e6,
        holder=holder,
        extra_keys=extra_keys,
        extra_arguments=extra_arguments,
    )
    return _answered(prepared, answer, holder, reservation_id)


def _answered(prepared: Prepared, answer: Any, holder: str, reservation_id: str) -> Reservations:
    question, group = prepared.question, prepared.groups[-1]
    granted, now, wait, who, why, *starts = answer
    if REASONS[why] == "queued":
        group = _with_state(group)
    where: dict[str, Any] = {"starts_us": starts}
    if starts and isinstance(starts[0], bytes):
        limit = question.limits[0]
        assert isinstance(limit, TokenBucket)
        assert not callable(limit.cost)
        step = limit.cost * limit.rate.microseconds_per_token
        where = {"first_us": float(starts[0]), "step_us": step}
    return Reservations(
        question.limits,
        granted,
        wait_seconds=math.inf if wait < 0 else wait / 1e6,
        blocked_by=group[who - 1].limit if who else None,
        reason=REASONS[why],
        asked_us=now,
        holder=holder,
        reservation_id=reservation_id if granted else "",
        **where,
    )


def _with_state(group: list[Part]) -> list[Part]:
    return [part for part in group if part.kind]


def _check(ask: Ask, owner: str | None) -> None:
    if not 1 <= ask.count <= MAX_COUNT:
        raise ReservationError(f"expected a count from 1 to {MAX_COUNT:,}, got {ask.count!r:.40}")
    if not 0 <= ask.horizon < math.inf:
        raise ReservationError(f"expected a horizon of 0 or more seconds, got {ask.horizon!r:.40}")
    if not ask.apart >= 0:
        raise ReservationError(
            f"expected limits to lie 0 or more seconds apart, got {ask.apart!r:.40}"
        )
    if owner is not None and ask.count != 1:
        raise ReservationError(f"expected a count of 1 with an owner, got {ask.count}")
