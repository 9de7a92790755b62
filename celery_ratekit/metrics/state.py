"""What Redis knows of limits and of the backlog, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..backlog import Backlog
from ..backlog.values import Sizes
from ..limiter import Limiter
from ..limiter.breaker import Degradation
from ..limiter.decision import LimitState
from ..limiter.keys import KeySpace
from ..limiter.transport import transport_for
from ..limits import Limit
from ..tasks.runtime import runtime_of
from .declared import limits_without_key

__all__ = ["LimitNow", "State", "StateReader"]

TIMEOUT_SECONDS = 0.5
"""The longest wait for one answer; a scrape has ten seconds for all of them by default."""

MOST_GROUPS = 1_000
"""How many groups of a queue are looked at for the oldest entry: all of a million take minutes."""

LIMITS_AT_ONCE = 50


@dataclass(frozen=True)
class LimitNow:
    """One limit: as the app declares it, at the rate of now, and what it holds.

    ``state`` is None where it is disabled, or lets everything pass.
    """

    declared: Limit
    rated: Limit
    state: LimitState | None
    is_paused: bool = False
    is_disabled: bool = False


@dataclass(frozen=True)
class State:
    """What Redis said at one moment."""

    queues: Mapping[str, Sizes] = field(default_factory=dict)
    limits: Sequence[LimitNow] = ()


class StateReader:
    """Reads the state of an app's limits and backlog, over connections of its own.

    They are apart from those that decide, whose circuit a slow view must not open.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._settings = settings = runtime_of(app).settings
        timeout_seconds = min(TIMEOUT_SECONDS, settings.redis_timeout)
        self._limiter = Limiter(
            settings.found_redis_url,
            redis_options=settings.redis_options,
            namespace=settings.namespace,
            hash_keys=settings.hash_keys,
            timeout_seconds=timeout_seconds,
        )
        transport = transport_for(
            settings.found_redis_url, timeout_seconds, Degradation(), **settings.redis_options
        )
        self._backlog = Backlog(
            transport, KeySpace(settings.namespace, hash_keys=settings.hash_keys)
        )

    def read(self) -> State:
        """All of it; raises LimiterUnavailableError where Redis gives no answer."""
        return State(dict(self._queues()), list(self._limits()))

    def _queues(self) -> Iterator[tuple[str, Sizes]]:
        for queue in self._backlog.queues()[: self._settings.metrics_max_limits]:
            yield queue, self._backlog.sizes(queue, most_groups=MOST_GROUPS)

    def _limits(self) -> Iterator[LimitNow]:
        limits = limits_without_key(self._app, self._settings.metrics_max_limits)
        states = self._states(limits)
        view = self._limiter.override_book.view()
        for limit in limits:
            rated = view.rated(limit)
            yield LimitNow(
                declared=limit,
                rated=rated,
                state=states.get(limit.name),
                is_paused=rated.is_paused or view.is_paused(limit),
                is_disabled=view.disabling(limit) is not None,
            )

    def _states(self, limits: Sequence[Limit]) -> dict[str, LimitState]:
        """What the limits hold, by name; those that let everything pass hold nothing."""
        found: dict[str, LimitState] = {}
        for begin in range(0, len(limits), LIMITS_AT_ONCE):
            for state in self._limiter.inspect(limits[begin : begin + LIMITS_AT_ONCE]):
                found[state.limit.name] = state
        return found
