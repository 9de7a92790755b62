"""One run of a body, as the methods that are called inside it need it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..limits import Limit
from ..rules import SHADOW
from .admission import Admission
from .call import Call
from .charges import Charges, is_same_counter

if TYPE_CHECKING:
    from .base import RateLimitedTask

__all__ = ["RATE_LIMITED_HEADER", "Run", "run_of"]

RATE_LIMITED_HEADER = "ratekit_rate_limited"
"""How often in a row the service that the task calls has answered "too many requests"."""

MAX_RATE_LIMITED = 1_000_000_000  # Headers come from strangers.


class Run:
    """What is known of one run: its call, its charges, and what its message brought."""

    def __init__(
        self, task: RateLimitedTask, call: Call, admission: Admission, headers: Any
    ) -> None:
        self._task = task
        self._call = call
        self._admission = admission
        #: How often in a row the service has answered "too many requests" before this run.
        self.rate_limited_count = _take_count(headers)
        #: What the body has asked for beside that.
        self.asked: list[Limit] = []
        #: Whether the service has answered this run "too many requests".
        self.was_refused = False

    @property
    def is_limited(self) -> bool:
        """Whether its limits let the call start, not eager mode or a setting that lifts them."""
        return self._admission.is_limited

    @property
    def granted_us(self) -> int | None:
        """When its limits let the call start, us by the clock of their Redis; None: not known."""
        decision = self._admission.decision
        return None if decision is None else int(decision.start_us) or None

    @property
    def is_shadow(self) -> bool:
        """Whether the task's own limits only count."""
        return SHADOW in (self._task.mode, self._task.ratekit.settings.mode)

    @cached_property
    def charges(self) -> Charges:
        """What the start was charged."""
        counted = self._resolved if self.is_shadow else []
        return Charges(self._admission.decision, counted)

    @property
    def limits(self) -> list[Limit]:
        """What limits the call: what it was charged by, what takes nothing, what its body asked."""
        decision = self._admission.decision
        limits = [] if decision is None else list(decision.limits)
        for limit in [*self._resolved, *self.asked]:
            if not any(is_same_counter(limit, known) for known in limits):
                limits.append(limit)
        return limits

    @property
    def _resolved(self) -> list[Limit]:
        return self._task.resolved_limits(self._call)


def run_of(request: Any) -> Run | None:
    """The run of a request in a worker or in eager mode; None for a direct call.

    What a message header of that name holds is none.
    """
    run = request.get("ratekit_run")
    return run if isinstance(run, Run) else None


def _take_count(headers: Any) -> int:
    """The header's value, which may be anything; taken out, so that no real retry copies it."""
    count = headers.pop(RATE_LIMITED_HEADER, 0) if isinstance(headers, dict) else 0
    return max(0, min(count, MAX_RATE_LIMITED)) if isinstance(count, int) else 0
