"""What becomes of a call that was granted: a refund, a settlement, a lease that goes on."""

from __future__ import annotations

import math

from ..errors import BadLimitError, LimiterUnavailableError
from ..limits import Concurrency, Limit
from .core import Core, doubles, holder_bytes
from .decision import Decision
from .scripts import EXTEND
from .steps import Steps

__all__ = [
    "amending",
    "changes_of_refund",
    "changes_of_release",
    "changes_of_settle",
    "extending",
]


def amending(core: Core, decision: Decision, changes: dict[Limit, float]) -> Steps[None]:
    """Changes what a granted call was charged, on every node that keeps some of its limits.

    Raises LimiterUnavailableError where one gave no answer, after all others were asked.
    """
    if not decision.granted or decision.degraded:
        return
    failure: LimiterUnavailableError | None = None
    granted = {core.charged(limit): limit for limit, change in changes.items() if change}
    for group in core.preparer.state_groups(granted):
        start_us, asked_us = decision.start_us, decision.asked_us
        if decision.own_starts is not None:
            start_us = asked_us = decision.own_starts[granted[group[0].limit]]
        try:
            yield from core.amending(
                group,
                [changes[granted[part.limit]] for part in group],
                holder=decision.holder,
                start_us=start_us,
                asked_us=asked_us,
            )
        except LimiterUnavailableError as error:
            failure = error
    if failure is not None:
        raise failure


def extending(core: Core, decision: Decision) -> Steps[bool]:
    """Begins the lease of the call's places anew; whether it still held them all."""
    kept = True
    for limit in decision.limits:
        if isinstance(limit, Concurrency):
            key = core.keys.state(limit).encode()
            numbers = doubles(core.clock_us(), limit.lease_seconds * 1e6, _cost(limit))
            held = yield core.call(EXTEND, [key], [numbers, holder_bytes(decision.holder)])
            kept = kept and held == limit.cost
    return kept


def changes_of_refund(decision: Decision) -> dict[Limit, float]:
    """Everything back."""
    return {limit: -_cost(limit) for limit in decision.limits}


def changes_of_release(decision: Decision) -> dict[Limit, float]:
    """The places back; what other limits were charged stays."""
    return {limit: -_cost(limit) for limit in decision.limits if isinstance(limit, Concurrency)}


def changes_of_settle(
    decision: Decision, actual_cost: float, limit: Limit | None
) -> dict[Limit, float]:
    """The difference between what ``limit`` was charged and what the call really took.

    Raises BadLimitError where it is unclear which limit is meant, or the cost is no cost.
    """
    if not 0 <= actual_cost < math.inf:
        raise BadLimitError(f"expected a finite actual cost of 0 or more, got {actual_cost!r:.40}")
    charged = [one for one in decision.limits if not isinstance(one, Concurrency)]
    if limit is None:
        if len(charged) != 1:
            names = ", ".join(repr(one.shown_name) for one in charged) or "none"
            raise BadLimitError(
                f"expected the limit to settle, since the call was charged by {names}; "
                "pass limit=..."
            )
        limit = charged[0]
    if limit not in charged:
        if not any(one.name == limit.name for one in decision.limits):
            return {}  # It lets everything pass, so it was not charged.
        raise BadLimitError(
            f"expected one of the limits that the call was charged by, got {limit!r}"
        )
    return {limit: actual_cost - _cost(limit)}


def _cost(limit: Limit) -> float:
    assert not callable(limit.cost)  # A decision holds only limits that were worked out.
    return limit.cost
