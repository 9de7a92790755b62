"""Questions to the core, in the form that its scripts read (lua/question.lua)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BadLimitError
from ..limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)
from .keys import KeySpace
from .resp import pack
from .scripts import Script

__all__ = ["ACQUIRE", "KEEP", "RESERVE", "YIELD", "Question", "command"]

ACQUIRE, RESERVE, KEEP, YIELD = 1, 2, 3, 4
"""Operations: one call now; many within a horizon; one within it, kept for an owner; many within a
horizon, unless others wait in a backlog."""

FREEZE_ONLY = 0
"""The kind of a limit that is only asked whether its whole name is frozen."""

MAX_LIMITS = 64
"""The most limits of one call; each costs time in Redis, which answers nobody else meanwhile."""

HEADER = struct.Struct("<BddIB")
ITEM = struct.Struct("<BBdddd")
APART = struct.Struct("<d")

Numbers = tuple[int, float, float]


def _token_bucket(limit: TokenBucket) -> Numbers:
    return 1, limit.rate.microseconds_per_token, limit.burst


def _fixed_window(limit: FixedWindow) -> Numbers:
    return 2, _period_us(limit), limit.rate.amount


def _sliding_window(limit: SlidingWindow) -> Numbers:
    return 3, _period_us(limit), limit.capacity


def _scheduled_bucket(limit: ScheduledBucket) -> Numbers:
    return 4, limit.amount, limit.maximum


def _concurrency(limit: Concurrency) -> Numbers:
    return 5, max(1, round(limit.lease_seconds * 1e6)), limit.size


def _period_us(limit: FixedWindow | SlidingWindow) -> float:
    return max(1, round(limit.rate.period_seconds * 1e6))


NUMBERS: dict[type[Limit], Callable[[Any], Numbers]] = {
    TokenBucket: _token_bucket,
    FixedWindow: _fixed_window,
    SlidingWindow: _sliding_window,
    ScheduledBucket: _scheduled_bucket,
    Concurrency: _concurrency,
}


@dataclass(frozen=True, slots=True)
class Part:
    """One limit as the core reads it: its keys, its numbers, and a string where it needs one."""

    limit: Limit
    keys: tuple[bytes, ...]
    kind: int
    a: float
    b: float
    needs: str = ""  # "instants", "holder" or nothing


class Question:
    """The limits of a call, ready to be packed for any operation.

    ``limits`` are without those that let everything pass or cost nothing; none left means that no
    question needs to be asked. ``split_names`` keeps freezes of whole names as parts of their own,
    because on a cluster they may live on another node. ``is_paused`` tells which limits are paused
    beside those whose own rate says so.
    """

    __slots__ = ("_is_paused", "limits", "parts", "paused")

    def __init__(
        self,
        limits: Sequence[Limit],
        keys: KeySpace,
        *,
        split_names: bool = False,
        is_paused: Callable[[Limit], bool] | None = None,
    ) -> None:
        self.limits = tuple(limit for limit in limits if limit.cost and not limit.is_unlimited)
        if len(self.limits) > MAX_LIMITS:
            raise BadLimitError(
                f"expected at most {MAX_LIMITS} limits for one call, got {len(self.limits)}"
            )
        self.parts: list[Part] = []
        for limit in self.limits:
            self.parts += _parts(limit, keys, split_names)
        states = [part.keys[0] for part in self.parts if part.kind]
        if len(set(states)) < len(states):
            twice = next(part.limit for part in self.parts if states.count(part.keys[0]) > 1)
            raise BadLimitError(
                f"the limit {twice.shown_name!r} stands twice in one call; give it once, with the "
                "sum of the costs, or give the limits different names"
            )
        self._is_paused = is_paused
        self.paused = next((limit for limit in self.limits if self.pauses(limit)), None)

    def pauses(self, limit: Limit) -> bool:
        """Whether the limit lets nothing pass, whatever it holds."""
        return limit.is_paused or (self._is_paused is not None and self._is_paused(limit))


def _parts(limit: Limit, keys: KeySpace, split_names: bool) -> list[Part]:
    if callable(limit.key) or callable(limit.cost) or not limit.name:
        missing = "a name" if not limit.name else "its key and cost worked out"
        raise BadLimitError(
            f"expected a limit with {missing}, got {limit!r}; only a task can fill that in, "
            "elsewhere use with_name(), with_key() and with_cost()"
        )
    own = (keys.state(limit).encode(), keys.freeze(limit).encode())
    name_freeze = keys.freeze_of_name(limit).encode()
    kind, a, b = NUMBERS[type(limit)](limit)
    needs = {4: "instants", 5: "holder"}.get(kind, "")
    if name_freeze == own[1]:
        return [Part(limit, own, kind, a, b, needs)]
    if not split_names:
        return [Part(limit, (*own, name_freeze), kind, a, b, needs)]
    return [
        Part(limit, (name_freeze, name_freeze), FREEZE_ONLY, 0, 0),
        Part(limit, own, kind, a, b, needs),
    ]


def command(
    script: Script,
    parts: Sequence[Part],
    *,
    operation: int = ACQUIRE,
    clock_us: int = 0,
    horizon_us: float = 0,
    apart_us: float = math.inf,
    count: int = 1,
    costs: Sequence[float] | None = None,
    holder: bytes = b"",
    instants: Callable[[Limit], bytes] | None = None,
    extra_keys: Sequence[bytes] = (),
    extra_arguments: Sequence[bytes] = (),
) -> bytes:
    """The packed call of ``script`` for ``parts``; ``costs`` replace the limits' own.

    ``apart_us`` is for decide.lua alone; where only one part has a state it says nothing.
    """
    items: list[bytes] = []
    strings: list[bytes] = []
    keys: list[bytes] = []
    for index, part in enumerate(parts):
        extra = 0.0
        if part.needs:
            if part.needs == "holder":
                strings.append(holder)
            else:
                assert instants is not None
                strings.append(instants(part.limit))
            extra = len(strings) + 1
        elif type(part.limit) is TokenBucket and part.kind:
            extra = part.limit.lowered_at * 1e6
        cost = part.limit.cost if costs is None else costs[index]
        items.append(ITEM.pack(part.kind, len(part.keys), part.a, part.b, cost, extra))
        keys += part.keys
    header = HEADER.pack(operation, clock_us, horizon_us, count, len(parts))
    if apart_us < math.inf and sum(part.kind > FREEZE_ONLY for part in parts) > 1:
        items.append(APART.pack(apart_us))
    keys += extra_keys
    return pack(
        (
            b"EVALSHA",
            script.sha,
            b"%d" % len(keys),
            *keys,
            b"".join((header, *items)),
            *strings,
            *extra_arguments,
        )
    )
