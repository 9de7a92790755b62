"""The limiter as a whole: all limits or none, what is denied and why, freezes and give-backs."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

from .common import EPSILON, NEVER, Time, ceil_us, exact
from .places import Places
from .scheduled import Scheduled
from .token_bucket import Bucket
from .windows import Starts, Window

KINDS: dict[type[Limit], type[Any]] = {
    TokenBucket: Bucket,
    FixedWindow: Window,
    SlidingWindow: Starts,
    ScheduledBucket: Scheduled,
    Concurrency: Places,
}

Name = tuple[type[Limit], str, str]


@dataclass(frozen=True)
class Answer:
    """``starts``: us from now. ``wait``: us, of the first call not granted; infinite if unknown.

    ``in_the_way``: the limits, with the reason of each, of which any may be named, since all are
    in the way equally long.
    """

    starts: tuple[int, ...]
    wait: float = 0
    in_the_way: tuple[tuple[Limit | None, str], ...] = ((None, ""),)


class ModelLimiter:
    """What a Limiter must answer, call for call."""

    def __init__(self) -> None:
        self.states: dict[Name, Any] = {}
        self.freezes: dict[tuple[str, str], tuple[int, int]] = {}

    def ask(
        self,
        limits: Sequence[Limit],
        now: int,
        *,
        count: int = 1,
        horizon: float = 0,
        apart: float = math.inf,
        holder: str = "",
    ) -> Answer:
        """``horizon`` and ``apart`` are in us."""
        limits = [limit for limit in limits if limit.cost and not limit.is_unlimited]
        paused = [limit for limit in limits if limit.is_paused]
        if paused:
            return Answer((), math.inf, ((paused[0], "paused"),))
        looked_at = [self._looked_at(limit, now) for limit in limits]
        frozen = [self._frozen(limit, now) for limit in limits]
        starts: list[int] = []
        wait: Time = 0
        in_the_way: list[tuple[Limit | None, str]] = [(None, "")]
        while len(starts) < count:
            answers = [
                state.earliest(exact(limit.cost))
                for limit, state in zip(limits, looked_at, strict=True)
            ]
            reach = Fraction(_reach(answers, horizon, apart))
            waits = [
                max(0, earliest) if why == "busy" else earliest - reach for earliest, why in answers
            ]
            start = max([0, *(earliest for earliest, _ in answers)])
            if max(frozen, default=0) <= 0 and all(
                why != "busy" and left <= EPSILON
                for left, (_, why) in zip(waits, answers, strict=True)
            ):
                for limit, state in zip(limits, looked_at, strict=True):
                    state.charge(exact(limit.cost), start)
                starts.append(ceil_us(start))
                continue
            whys = [why for _, why in answers]
            wait = max(*frozen, *waits)
            in_the_way = [
                (limit, why)
                for limit, left, why in zip(
                    limits * 2, [*frozen, *waits], ["frozen"] * len(limits) + whys, strict=True
                )
                if left >= wait - EPSILON
            ]
            break
        for limit, state in zip(limits, looked_at, strict=True):
            if isinstance(state, Places):
                state.store(holder)
            if starts or state.changed or isinstance(state, Places):
                self._store(limit, state)
        rounded = math.inf if wait == NEVER else ceil_us(wait)
        return Answer(tuple(starts), rounded, tuple(in_the_way))

    def amend(
        self, limit: Limit, change: float, now: int, *, charged: int, asked: int, holder: str = ""
    ) -> None:
        """``change`` above 0 takes more, below 0 gives back."""
        if not change or limit.is_paused:
            return
        self._frozen(limit, now, own_only=True)
        is_known = _name(limit) in self.states
        state = self._looked_at(limit, now)
        if isinstance(state, Places):
            state.release(holder, -int(change))
        else:
            state.amend(Fraction(change), charged, asked)
        if is_known or change > 0:
            self._store(limit, state)

    def _store(self, limit: Limit, state: Any) -> None:
        if state.is_worth_storing():
            self.states[_name(limit)] = state

    def extend(self, limit: Concurrency, now: int, holder: str) -> bool:
        state = self._looked_at(limit, now)
        self.states[_name(limit)] = state
        return bool(state.extend(holder, int(exact(limit.cost))))

    def freeze(self, limit: Limit, now: int, length: int) -> int:
        """How long it is frozen now (us); a length of 0 ends a freeze."""
        name = (limit.name, str(limit.key))
        if not length:
            self.freezes.pop(name, None)
            return 0
        if name in self.freezes:
            ends, was = self.freezes[name]
            left = min(ends - now, was)
            if left >= length:
                return left
        self.freezes[name] = now + length, length
        return length

    def _frozen(self, limit: Limit, now: int, *, own_only: bool = False) -> int:
        longest = 0
        own = (limit.name, str(limit.key))
        for name in {own} if own_only else {own, (limit.name, "")}:
            if name in self.freezes:
                ends, length = self.freezes[name]
                if ends - now > length:  # The clock stepped back.
                    ends = now + length
                    self.freezes[name] = ends, length
                longest = max(longest, ends - now)
        return longest

    def _looked_at(self, limit: Limit, now: int) -> Any:
        known = self.states.get(_name(limit))
        state = KINDS[type(limit)]() if known is None else copy.deepcopy(known)
        state.look(limit, now)
        return state


def _reach(answers: Sequence[tuple[Time, str]], horizon: float, apart: float) -> float:
    """How far ahead the call may be promised: limits that disagree all wait for the last one."""
    alone = [0 if why == "busy" else max(0, earliest) for earliest, why in answers]
    disagree = max(alone, default=0) - min(alone, default=0) > apart + EPSILON
    return min(horizon, apart) if disagree else horizon


def _name(limit: Limit) -> Name:
    return type(limit), limit.name, str(limit.key)
