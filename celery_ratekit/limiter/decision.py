"""What the limiter answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, overload

from ..limits import Limit

__all__ = ["Decision", "LimitState", "Reason", "Redemption", "Reservations"]

Reason = Literal["", "rate", "frozen", "busy", "paused", "queued", "unavailable"]
"""Why a call was not granted: over its rate, frozen, every place taken, paused, behind others that
wait, no Redis."""

REASONS: tuple[Reason, ...] = ("", "rate", "frozen", "busy", "paused", "queued")


class Decision:
    """Whether a call may start, and when to ask again if not. True in a condition if granted.

    ``wait_seconds``: granted, until the start (0: now); not granted, until it is worth asking
    again (infinite where only a change can tell: a paused limit). A place of a concurrency limit
    may come back earlier than that.
    ``blocked_by``: the limit in the way, None if granted. ``reason``: see Reason.
    ``limits``: what was asked for, without limits that let everything pass.
    ``starts_at``: the granted start by Redis' clock, seconds since 1970; 0.0 if it was not asked.
    ``degraded``: Redis gave no answer, the failure policy did.
    ``own_starts``: where several nodes of a cluster granted, each limit's start by its node's
    clock, us; else None.
    """

    __slots__ = (
        "asked_us",
        "blocked_by",
        "degraded",
        "granted",
        "holder",
        "limits",
        "own_starts",
        "reason",
        "start_us",
        "wait_seconds",
    )

    # Positional, because one is made for each call and keywords cost a third more.
    def __init__(  # noqa: PLR0917 - as said above
        self,
        granted: bool,
        limits: tuple[Limit, ...],
        wait_seconds: float = 0.0,
        blocked_by: Limit | None = None,
        reason: Reason = "",
        start_us: int = 0,
        asked_us: int = 0,
        holder: str = "",
        degraded: bool = False,
    ) -> None:
        self.granted = granted
        self.limits = limits
        self.wait_seconds = wait_seconds
        self.blocked_by = blocked_by
        self.reason = reason
        self.start_us = start_us
        self.asked_us = asked_us
        self.holder = holder
        self.degraded = degraded
        self.own_starts: Mapping[Limit, int] | None = None

    @property
    def starts_at(self) -> float:
        return self.start_us / 1_000_000

    @property
    def retry_after(self) -> int | None:
        """Whole seconds to wait, as HTTP's Retry-After says them; None where nobody knows."""
        return None if math.isinf(self.wait_seconds) else math.ceil(self.wait_seconds)

    def __bool__(self) -> bool:
        return self.granted

    def __repr__(self) -> str:
        if self.granted:
            return f"<Decision granted, starts in {self.wait_seconds:.6f} s>"
        name = self.blocked_by.shown_name if self.blocked_by else "Redis"
        return f"<Decision not granted: {name!r} {self.reason}, ask in {self.wait_seconds:.6f} s>"


class Reservations(Sequence[float]):
    """Granted starts, as seconds from now, in order; fewer than asked if the horizon ended them.

    ``wait_seconds``, ``blocked_by`` and ``reason`` tell of the first start that was not granted,
    as in a Decision. ``id`` names the reservation that was kept for an owner, else empty.
    """

    __slots__ = (
        "_decisions",
        "_first",
        "_starts",
        "_step",
        "asked_us",
        "blocked_by",
        "degraded",
        "granted",
        "holder",
        "id",
        "limits",
        "reason",
        "wait_seconds",
    )

    def __init__(
        self,
        limits: tuple[Limit, ...],
        granted: int,
        *,
        first_us: float = 0.0,
        step_us: float = 0.0,
        starts_us: Sequence[int] | None = None,
        wait_seconds: float = 0.0,
        blocked_by: Limit | None = None,
        reason: Reason = "",
        asked_us: int = 0,
        holder: str = "",
        reservation_id: str = "",
        degraded: bool = False,
    ) -> None:
        self.limits = limits
        self.granted = granted
        self._first = first_us
        self._step = step_us
        self._starts = starts_us
        self._decisions: Sequence[Decision] | None = None
        self.wait_seconds = wait_seconds
        self.blocked_by = blocked_by
        self.reason = reason
        self.asked_us = asked_us
        self.holder = holder
        self.id = reservation_id
        self.degraded = degraded

    @classmethod
    def denied(cls, decision: Decision, *, after: Sequence[Decision] = ()) -> Reservations:
        """What a denial says, ``after`` calls that were granted one by one and start at once."""
        denied = cls(
            decision.limits,
            len(after),
            starts_us=[0] * len(after),
            wait_seconds=decision.wait_seconds,
            blocked_by=decision.blocked_by,
            reason=decision.reason,
            asked_us=after[-1].asked_us if after else 0,
            holder=decision.holder,
            degraded=decision.degraded,
        )
        denied._decisions = after
        return denied

    @classmethod
    def in_turn(cls, decisions: Sequence[Decision]) -> Reservations:
        """Calls that were granted one by one and start at once."""
        granted = cls.denied(decisions[-1], after=decisions)
        granted.wait_seconds = 0.0
        return granted

    def start_us(self, index: int) -> int:
        """The start at ``index``, in microseconds from the moment of asking."""
        if self._starts is not None:
            return self._starts[index]
        return max(0, math.ceil(self._first + index * self._step - EPSILON_US))

    def decision(self, index: int) -> Decision:
        """The same start as a Decision, to be refunded or settled on its own.

        Places of concurrency limits can be given back through it where a single start was granted,
        or where a cluster's nodes granted one call after the other. Those of several starts that
        were granted together are held by all of them and end with their lease.
        """
        if self._decisions is not None:
            return self._decisions[index]
        holder = self.holder if self.granted == 1 else ""
        return self._decision(self.start_us(range(self.granted)[index]), holder)

    def _decision(self, start_us: int, holder: str) -> Decision:
        asked_us = self.asked_us
        return Decision(
            True,
            self.limits,
            start_us / 1_000_000,
            None,
            "",
            asked_us + start_us,
            asked_us,
            holder,
            self.degraded,
        )

    def decisions(self) -> list[Decision]:
        """All starts as Decisions, in order; see `decision`."""
        if self._decisions is not None:
            return list(self._decisions)
        if self.granted == 1:
            return [self._decision(self.start_us(0), self.holder)]
        return [self._decision(self.start_us(index), "") for index in range(self.granted)]

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> list[float]: ...
    def __getitem__(self, index: int | slice) -> float | list[float]:
        positions = range(self.granted)[index]
        if isinstance(positions, range):
            return [self.start_us(position) / 1_000_000 for position in positions]
        return self.start_us(positions) / 1_000_000

    def __len__(self) -> int:
        return self.granted

    def __iter__(self) -> Iterator[float]:
        return (self.start_us(index) / 1_000_000 for index in range(self.granted))

    def __repr__(self) -> str:
        return f"<Reservations {self.granted} granted, ask in {self.wait_seconds:.6f} s>"


EPSILON_US = 1 / 1024  # As in the core: below the clock's step, above the rounding of sums.


@dataclass(frozen=True, slots=True)
class LimitState:
    """What a limit holds now.

    ``available``: tokens, calls or places that could be taken at once; negative where starts are
    promised or a debt is owed. ``capacity``: the most there can be. ``wait_seconds``: until a call
    of the limit's cost could start, infinite where nobody knows. ``frozen_seconds``: how long a
    freeze still lasts, 0 if there is none. ``reason``: what stands in the way, empty if nothing.
    """

    limit: Limit
    available: float
    capacity: float
    wait_seconds: float
    frozen_seconds: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Redemption:
    """What became of a reservation that was shown at its start.

    ``used``: it was valid and is now used up, unless too early. ``late_seconds``: after its start;
    negative while it lies ahead. ``frozen_seconds``: above 0 where a limit was frozen meanwhile,
    so the start must not happen. ``early_seconds``: above 0 where it is too early; it was kept.
    ``start_us``: the reserved start by Redis' clock, where it was used in time. ``charged``: the
    limits that it was reserved under, as far as is known.
    """

    used: bool
    late_seconds: float = 0.0
    frozen_seconds: float = 0.0
    early_seconds: float = 0.0
    start_us: int = 0
    charged: tuple[Limit, ...] = ()

    def decision(self, limits: Iterable[Limit]) -> Decision:
        """The grant that was reserved, to be refunded or settled."""
        charged = self.charged or tuple(
            limit for limit in limits if limit.cost and not limit.is_unlimited
        )
        return Decision(True, charged, start_us=self.start_us, asked_us=self.start_us)
