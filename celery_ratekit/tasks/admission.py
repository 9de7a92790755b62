"""Lets a call start at its turn: as the gate said, or by sending it again to its reserved start.

Where no gate runs the message carries only the id of its reservation, which Redis uses up for this
task id, once: a copied header, a real retry and a redelivered message are charged like any other
call.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from celery import Task

from ..errors import LimiterUnavailableError
from ..limiter import Decision
from ..limits import Concurrency, Limit
from ..rules import DEGRADED, ENFORCE, SHADOW
from ..signals import rate_limit_admitted, rate_limit_hit
from .call import Call
from .call_limits import CallLimits
from .grant import Grant, take_grant
from .limit_book import LIMITS_HEADER, Plan
from .reschedule import send_again
from .runtime import Runtime, runtime_of

__all__ = [
    "DENIALS_HEADER",
    "LATE_SECONDS",
    "RESERVATION_HEADER",
    "SINCE_HEADER",
    "Admission",
    "checked_since",
]

RESERVATION_HEADER = "ratekit_reservation"
MAX_RESERVATION_ID_LENGTH = 64  # Ours have 16 characters; headers come from strangers.

DENIALS_HEADER = "ratekit_denials"
"""How often in a row the call was told to ask again, without a start being promised."""

LATE_SECONDS = 0.1
"""A start later than this is dropped and asked anew, so that delays never pile up into a burst."""

IN_PLACE_SECONDS = 0.01
"""What is shorter is waited for where the task is: sending it again would take longer."""

EARLY_IN_PLACE_SECONDS = 1.0
"""A message early by less waits where it is: some brokers delay by whole seconds only."""

FIRST_PAUSE_SECONDS = {"busy": 0.2, "paused": 1.0}
"""When to ask again for what cannot be promised: a place, the end of a pause. Else: soon."""

SHORTEST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 60.0

PAUSE_GROWTH = 1.25
"""How much longer each pause is than the one before: so each is about a fifth of the time waited
until then, few waiting calls ask often, and thousands do not drown the broker in questions."""

SINCE_HEADER = "ratekit_since"
"""When the call first came to a worker, by the clock of that machine, seconds since 1970."""

LONGEST_WAIT_SECONDS = 31 * 86_400.0
"""What is told of a wait that began earlier: headers come from strangers."""

MAX_DENIALS = 100  # Pauses are at their longest long before; headers come from strangers.


class Admission:
    """One call's way through its limits, and what it holds while it runs."""

    def __init__(self, task: Task, request: Any) -> None:
        self._task = task
        self._request = request
        self._decision: Decision | None = None
        self._since = 0.0
        self._granted: tuple[Grant, Call] | None = None
        self._holding: list[Decision] = []  # with places that are to be given back here
        #: Whether the call was let through by its limits; False in eager mode.
        self.is_limited = False
        #: How long after its granted start the call was let through, in seconds.
        self.lateness_seconds = 0.0

    def admit(self, call: Call) -> None:
        """Returns when the call may start; raises celery's Retry once it was sent again instead."""
        grant = take_grant(self._request.headers)
        reservation_id = self._take_header(RESERVATION_HEADER)
        denials = _checked_count(self._take_header(DENIALS_HEADER))
        self._since = checked_since(self._take_header(SINCE_HEADER))
        self.is_limited = not self._plan.is_switched_off
        if grant is not None:
            self._granted = grant, call
            self.lateness_seconds = max(0.0, time.monotonic() - grant.due)
            return
        limits = self._limits_of(call)
        self._count(limits.shadow)
        if limits.enforced and not self._use_reservation(reservation_id, limits.enforced):
            while not self._is_granted(limits.enforced, denials):
                denials = _checked_count(denials + 1)
        self._tell_start(limits)

    @property
    def decision(self) -> Decision | None:
        """What the start was charged; None where it was charged nothing."""
        if self._decision is None and self._granted is not None:
            grant, call = self._granted
            self._granted = None
            self._decision = grant.decision(self._limits_of(call).enforced)
        return self._decision

    def finish(self) -> None:
        """Gives back the places that the call took here; those of a grant the gate gives back."""
        if self._holding:
            self._runtime.leases.give_back(*self._holding)

    @property
    def _runtime(self) -> Runtime:
        return runtime_of(self._task.app)

    @property
    def _plan(self) -> Plan:
        return self._runtime.book.plan(self._task)

    def _limits_of(self, call: Call) -> CallLimits:
        headers = self._request.headers
        return self._plan.limits(
            call, headers.get(LIMITS_HEADER) if isinstance(headers, dict) else None
        )

    def _count(self, limits: tuple[Limit, ...]) -> None:
        """Charges limits that only count, and tells where they would have made the call wait."""
        if not limits:
            return
        decision = self._runtime.limiter.acquire(limits)
        if decision:
            self._keep(decision)
        elif decision.reason != "unavailable":
            self._tell_hit(decision, limits, SHADOW)

    def _keep(self, decision: Decision) -> None:
        """Holds on to the places of a call until it is over."""
        if any(isinstance(limit, Concurrency) for limit in decision.limits):
            self._runtime.leases.keep(decision)
            self._holding.append(decision)

    def _tell_hit(self, denial: Decision, limits: Sequence[Limit], mode: str = ENFORCE) -> None:
        rate_limit_hit.send(
            sender=self._task,
            task_id=self._request.id,
            limit=denial.blocked_by or limits[0],
            reason=denial.reason,
            mode=mode,
        )

    def _tell_start(self, limits: CallLimits) -> None:
        decision = self._decision
        if not rate_limit_admitted.receivers or not (limits.enforced or limits.shadow):
            return
        charged, mode = limits.shadow, SHADOW
        if decision is not None:
            charged, mode = decision.limits, ENFORCE
            if decision.degraded:
                charged, mode = (), DEGRADED
        rate_limit_admitted.send(
            sender=self._task,
            task_id=self._request.id,
            limits=charged,
            mode=mode,
            wait_seconds=max(0.0, time.time() - self._since),
            lateness_seconds=max(0.0, self.lateness_seconds),
        )

    def _take_header(self, name: str) -> Any:
        """A header's value; it is taken out, so that no real retry copies it."""
        headers = self._request.headers
        return headers.pop(name, None) if isinstance(headers, dict) else None

    def _use_reservation(self, reservation_id: Any, limits: Sequence[Limit]) -> bool:
        """Whether the message came with a reservation whose moment is now."""
        if (
            not isinstance(reservation_id, str)
            or not 0 < len(reservation_id) <= MAX_RESERVATION_ID_LENGTH
        ):
            return False
        owner = str(self._request.id)
        limiter = self._runtime.limiter
        try:
            redemption = limiter.redeem(reservation_id, owner, limits, early=0.001)
            if redemption.early_seconds > 0:
                self._wait(
                    redemption.early_seconds,
                    limits,
                    {RESERVATION_HEADER: reservation_id},
                    in_place_seconds=EARLY_IN_PLACE_SECONDS,
                )
                redemption = limiter.redeem(reservation_id, owner, limits, early=0.001)
        except LimiterUnavailableError:
            return False  # The failure policy decides, when it is asked anew.
        if (
            not redemption.used
            or redemption.early_seconds > 0
            or redemption.frozen_seconds > 0
            or redemption.late_seconds > LATE_SECONDS
        ):
            return False
        # What was redeemed a little early still has to wait for its moment.
        self.lateness_seconds = self._wait(
            -redemption.late_seconds, limits, in_place_seconds=math.inf
        )
        self._decision = redemption.decision(limits)
        return True

    def _is_granted(self, limits: Sequence[Limit], denials: int) -> bool:
        """Asks once, and waits for what was answered: here, or by sending the call again."""
        decision, reservation_id = self._ask(limits)
        if not denials and (not decision or decision.wait_seconds > 0):
            self._tell_hit(decision, limits)
        if not decision:
            pause_seconds = self._pause_seconds(limits, decision, denials)
            self._wait(pause_seconds, limits, {DENIALS_HEADER: denials + 1})
            return False
        self.lateness_seconds = 0.0
        if decision.wait_seconds > 0:
            self.lateness_seconds = self._wait(
                decision.wait_seconds, limits, {RESERVATION_HEADER: reservation_id}
            )
        if self.lateness_seconds > LATE_SECONDS:
            return False
        self._decision = decision
        return True

    def _ask(self, limits: Sequence[Limit]) -> tuple[Decision, str]:
        """The limits' answer, and the id under which Redis keeps a start that lies ahead."""
        runtime = self._runtime
        limiter = runtime.limiter
        if any(isinstance(limit, Concurrency) for limit in limits):
            # A place cannot be promised ahead: such a call is granted now or not at all.
            decision = limiter.acquire(limits)
            if decision:
                self._keep(decision)
            return decision, ""
        reservations = limiter.reserve(
            limits, 1, runtime.settings.max_reschedule, owner=str(self._request.id)
        )
        if reservations:
            return reservations.decision(0), reservations.id
        denial = Decision(
            False,
            tuple(limits),
            reservations.wait_seconds,
            reservations.blocked_by,
            reservations.reason,
        )
        return denial, ""

    def _pause_seconds(self, limits: Sequence[Limit], denial: Decision, denials: int) -> float:
        """How long to wait where no start was promised, in seconds."""
        runtime = self._runtime
        longest = runtime.settings.max_reschedule
        if denial.reason == "frozen":
            return min(denial.wait_seconds, longest)
        if denial.reason == "rate" and self._can_be_promised(limits):
            # Every start up to the horizon is promised to others; come back before those are over,
            # but not all at once.
            return min(max(denial.wait_seconds, random.uniform(0.5, 1.0) * longest), longest)
        first = FIRST_PAUSE_SECONDS.get(denial.reason, SHORTEST_PAUSE_SECONDS)
        pause = min(first * PAUSE_GROWTH**denials, LONGEST_PAUSE_SECONDS)
        pause *= random.uniform(0.75, 1.25)
        if denial.reason in ("rate", "unavailable"):
            pause = max(pause, denial.wait_seconds)
        return min(pause, longest)

    def _can_be_promised(self, limits: Sequence[Limit]) -> bool:
        return self._runtime.limiter.promises_ahead(limits) and not any(
            isinstance(limit, Concurrency) for limit in limits
        )

    def _wait(
        self,
        seconds: float,
        limits: Sequence[Limit],
        headers: Mapping[str, Any] = MappingProxyType({}),
        *,
        in_place_seconds: float = IN_PLACE_SECONDS,
    ) -> float:
        """Waits where it is if that is short, or sends the task again, which ends this run.

        Returns how much later than asked for it came back, in seconds; ``seconds`` may be negative.
        """
        deadline = time.monotonic() + seconds
        if seconds > in_place_seconds:
            names = ", ".join(repr(limit.shown_name) for limit in limits)
            reason = f"rate limit {names}: waits {seconds:.3f} s"
            kept = {SINCE_HEADER: self._since, **headers}
            send_again(self._task, self._request, deadline, reason, kept)
        time.sleep(max(0.0, deadline - time.monotonic()))
        return time.monotonic() - deadline


def _checked_count(count: Any) -> int:
    """A count of denials, from a header that may hold anything."""
    return max(0, min(count, MAX_DENIALS)) if isinstance(count, int) else 0


def checked_since(since: Any) -> float:
    """A moment at which the call came, from a header that may hold anything; else this one."""
    now = time.time()
    is_number = isinstance(since, (int, float)) and not isinstance(since, bool)
    return since if is_number and now - LONGEST_WAIT_SECONDS <= since <= now else now
