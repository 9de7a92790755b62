"""All limits at one moment, with what they hold and what waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..backlog import Backlog, Sizes
from ..limiter import Limiter, LimitState
from ..limiter.overrides import DISABLE, Place, View
from ..limiter.overrides.places import ANY_KIND
from ..limits import Limit
from ..tasks.runtime import runtime_of
from .known import Meant
from .manager import RateLimitManager
from .rates_now import CurrentRate, Override, current_rates

__all__ = ["Board", "BoardLimit", "read_board"]

LIMITS_AT_ONCE = 50

MOST_QUEUES = 200
"""How many queues are asked how much waits in them."""

MOST_GROUPS = 200
"""How many groups of a queue are looked at for its oldest entry."""


@dataclass(frozen=True, slots=True)
class BoardLimit:
    """One limit.

    ``rate`` is what counts and what was set. ``limit``: as this app declares it, or at the lowest
    rate that live workers do, where only they know it, which ``is_elsewhere`` says. ``is_fixed``:
    its rate is fixed in code.
    ``state``: what it holds, and its freeze, for all its keys; None where it is disabled or lets
    everything pass. ``waiting``: how many calls wait in the backlog for limits of its name.
    """

    rate: CurrentRate
    limit: Limit
    is_fixed: bool = False
    is_elsewhere: bool = False
    state: LimitState | None = None
    waiting: int = 0

    @property
    def is_keyed(self) -> bool:
        """Whether it is counted for each key apart, so that there is no one thing that it holds."""
        return callable(self.limit.key) or self.limit.key != ""

    @property
    def frozen_seconds(self) -> float:
        """How long a freeze of all its keys still lasts; 0 if there is none."""
        return 0.0 if self.state is None else self.state.frozen_seconds


@dataclass(frozen=True, slots=True)
class Board:
    """Every limit, in the order of names and kinds, and the backlog of each queue.

    ``queues_left_out``: how many queues are neither in ``queues`` nor counted in the limits'
    ``waiting``. ``disabling``: what switches all limits off, None where nothing does.
    """

    limits: Sequence[BoardLimit] = ()
    queues: Mapping[str, Sizes] = field(default_factory=dict)
    queues_left_out: int = 0
    disabling: Override | None = None


def read_board(manager: RateLimitManager) -> Board:
    """What is true of all limits of an app and of live workers.

    Plain tasks with Celery's own limit are left out: no one place says what holds for them. Raises
    LimiterUnavailableError where Redis gives no answer.
    """
    runtime = runtime_of(manager.app)
    view, known = manager.look()
    limits = [*_declared_by_others(view), *((one.limit, one) for one in known)]
    found = {_id(limit): (limit, meant) for limit, meant in limits if limit is not None}
    states = _states(runtime.limiter, [limit for limit, _ in found.values()])
    queues, left_out = _queues(runtime.backlog)
    rows = []
    for rate in current_rates(view, known, {}).values():
        limit, meant = found[rate.name, rate.kind]
        rows.append(
            BoardLimit(
                rate,
                limit,
                is_fixed=meant is not None and meant.is_fixed,
                is_elsewhere=meant is None,
                state=states.get((rate.name, rate.kind)),
                waiting=sum(sizes.by_limit.get(rate.name, 0) for sizes in queues.values()),
            )
        )
    rows.sort(key=lambda row: (row.rate.name, row.rate.kind))
    disabling = view.live.get(Place(DISABLE, ANY_KIND, "", ""))
    return Board(rows, queues, left_out, None if disabling is None else Override.of(disabling))


def _declared_by_others(view: View) -> Iterable[tuple[Limit, Meant | None]]:
    lowest_last = sorted(view.snapshot.declared, key=lambda one: one.width, reverse=True)
    return ((one.limit, None) for one in lowest_last)


def _id(limit: Limit) -> tuple[str, str]:
    return limit.name, type(limit).__name__


def _states(limiter: Limiter, limits: Sequence[Limit]) -> dict[tuple[str, str], LimitState]:
    """What the limits hold; those that let everything pass hold nothing."""
    asked = [limit.with_key("").with_cost(1) for limit in limits]
    found: dict[tuple[str, str], LimitState] = {}
    for begin in range(0, len(asked), LIMITS_AT_ONCE):
        for state in limiter.inspect(asked[begin : begin + LIMITS_AT_ONCE]):
            found[_id(state.limit)] = state
    return found


def _queues(backlog: Backlog) -> tuple[dict[str, Sizes], int]:
    names = sorted(backlog.queues())
    shown = names[:MOST_QUEUES]
    sizes = {queue: backlog.sizes(queue, most_groups=MOST_GROUPS) for queue in shown}
    return sizes, len(names) - len(shown)
