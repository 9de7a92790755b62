"""What the start of a running call was charged, and what its body has made of that since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..limiter import Decision, Limiter
from ..limits import Concurrency, Limit

__all__ = ["Charges", "is_same_counter"]


@dataclass(slots=True)
class Charge:
    """What one limit was charged by now."""

    limit: Limit
    amount: float
    start_us: int
    asked_us: int
    degraded: bool = False  # The failure policy let the call start: nothing was charged.
    is_unused: bool = True

    def decision(self, limit: Limit) -> Decision:
        """The grant of the call, as if it had been charged by this limit alone."""
        return Decision(True, (limit,), start_us=self.start_us, asked_us=self.asked_us)


class Charges:
    """What a running call has been charged by limits that count starts.

    Places of concurrency limits are no part of it: they are held for as long as the body runs.
    ``counted`` are limits that a start was counted for without being stopped by them.
    """

    def __init__(self, decision: Decision | None, counted: Iterable[Limit] = ()) -> None:
        self._charges = [] if decision is None else _charges_of(decision)
        self._counted = list(counted)

    def has(self, limit: Limit) -> bool:
        """Whether this limit and its key were charged."""
        return self._find(limit) is not None

    def take(self, limit: Limit) -> bool:
        """Whether the start was charged by this limit and its key: True once."""
        for charge in self._charges:
            if charge.is_unused and is_same_counter(charge.limit, limit):
                charge.is_unused = False
                return True
        for counted in self._counted:
            if is_same_counter(counted, limit):
                self._counted.remove(counted)
                return True
        return False

    def refund(self, limiter: Limiter) -> bool:
        """Gives back what is charged by now; whether there was anything.

        Raises LimiterUnavailableError where Redis gives no answer.
        """
        refunds = []
        for charge in self._charges:
            if charge.amount:
                refunds.append(charge.decision(charge.limit.with_cost(charge.amount)))
            # Forgotten before it is tried: what is given back twice would be too much.
            charge.amount, charge.is_unused = 0.0, False
        for decision in refunds:
            limiter.refund(decision)
        return bool(refunds)

    def settle(self, limiter: Limiter, limit: Limit, actual_cost: float, now_us: int) -> bool:
        """Corrects what this limit was charged; ``now_us`` counts where it was charged nothing.

        False where the failure policy let the call start, so that there is nothing to correct.
        Raises BadLimitError for a cost that the limit cannot count, and LimiterUnavailableError
        where Redis gives no answer.
        """
        charge = self._find(limit)
        if charge is None:
            charge = Charge(limit, 0.0, now_us, now_us, is_unused=False)
            self._charges.append(charge)
        # A debt is of one capacity at the most, so no more than that can be given back later.
        amount = min(actual_cost, limit.capacity)
        charge.limit.check_cost(amount)
        if charge.degraded:
            return False
        # Something has to stand as what was charged, for a limit that costs nothing is not asked.
        stated = charge.amount or min(1.0, limit.capacity)
        change = actual_cost - charge.amount
        charge.amount = amount
        limiter.settle(charge.decision(charge.limit.with_cost(stated)), stated + change)
        return True

    def _find(self, limit: Limit) -> Charge | None:
        return next((one for one in self._charges if is_same_counter(one.limit, limit)), None)


def is_same_counter(one: Limit, other: Limit) -> bool:
    """Whether two limits count in the same place, whatever their rates and costs."""
    return _counter(one) == _counter(other)


def _counter(limit: Limit) -> tuple[object, ...]:
    return type(limit), limit.name, str(limit.key), limit.tag


def _charges_of(decision: Decision) -> list[Charge]:
    own_starts = decision.own_starts or {}
    charges = []
    for limit in decision.limits:
        assert not callable(limit.cost)  # A decision holds only limits that were worked out.
        if not isinstance(limit, Concurrency):
            start_us = own_starts.get(limit, decision.start_us)
            asked_us = own_starts.get(limit, decision.asked_us)
            amount = 0.0 if decision.degraded else limit.cost
            charges.append(Charge(limit, amount, start_us, asked_us, decision.degraded))
    return charges
