"""Everything that is true of some limits, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..backlog import Backlog
from ..limiter import Limiter, LimitState
from ..limiter.overrides import View
from ..limits import Limit
from .known import Meant
from .rates_now import CurrentRate, current_rates

__all__ = ["LimitExplanation", "explain_limits"]


@dataclass(frozen=True, slots=True)
class LimitExplanation:
    """What some limits are now; as text, a few lines.

    ``what`` was asked for. ``rates``: each of its limits. ``states``: what those without a key
    hold, as far as this app knows them (see `LimitState`). ``waiting``: how many calls wait in the
    backlog for limits of these names.
    """

    what: str
    rates: tuple[CurrentRate, ...]
    states: tuple[LimitState, ...]
    waiting: int

    def __str__(self) -> str:
        lines = [line for rate in self.rates for line in _lines_of(rate)]
        for state in self.states:
            lines.append(
                f"{state.limit.shown_name} ({type(state.limit).__name__}) holds "
                f"{state.available:.6g} of {state.capacity:.6g}"
            )
            if state.frozen_seconds:
                lines.append(f"  frozen for {state.frozen_seconds:.1f} s more")
        if self.waiting:
            lines.append(f"{self.waiting} calls wait in the backlog")
        return "\n".join(lines)


def explain_limits(
    what: str, found: Sequence[Meant], view: View, limiter: Limiter, backlog: Backlog
) -> LimitExplanation:
    """What counts for some limits, and what they hold.

    Raises LimiterUnavailableError where Redis gives no answer.
    """
    names = {meant.name for meant in found}
    rates = current_rates(view, found, {})
    rates = {shown: one for shown, one in rates.items() if one.name in names}
    limits = [_global(meant.limit) for meant in found if _is_global(meant.limit)]
    states = limiter.inspect([limit for limit in limits if limit is not None])
    sizes = [backlog.sizes(queue, most_groups=0).by_limit for queue in backlog.queues()]
    waiting = sum(of_queue.get(name, 0) for of_queue in sizes for name in names)
    return LimitExplanation(what, tuple(rates.values()), tuple(states), waiting)


def _is_global(limit: Limit | None) -> bool:
    return limit is not None and limit.key == ""


def _global(limit: Limit | None) -> Limit | None:
    return limit.with_cost(1) if limit is not None and callable(limit.cost) else limit


def _lines_of(rate: CurrentRate) -> list[str]:
    declared = f", in code {rate.declared}" if rate.declared not in ("", rate.rate) else ""
    lines = [f"{rate.name} ({rate.kind}): {rate.rate}{declared}"]
    lines += [f"  {override}" for override in rate.overrides]
    lines += [f"  {key!r}: {of_key}" for key, of_key in rate.keys.items()]
    if rate.disagreement:
        lines.append(f"  live workers declare {', '.join(rate.disagreement)}: the lowest counts")
    return lines
