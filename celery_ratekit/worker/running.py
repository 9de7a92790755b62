"""Tasks that the gate let go on, from the slot that each was given to its end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from celery.utils.log import get_logger
from celery.worker import state

from ..limiter import Decision
from ..limits import Limit
from ..tasks.base import RateLimitedTask
from ..tasks.grant import Grant
from .asking import Asking
from .ends import watch
from .pool_memory import PoolMemory
from .requests import forget, take_up
from .slots import Slots

__all__ = ["Running"]

QUICK_SECONDS = 0.02
"""A slot whose tasks take less is free again so soon that a second start can be promised to it."""

WEIGHT_OF_LAST = 0.1
"""How much the last task counts in what tasks take."""

logger = get_logger(__name__)


class Running:
    """Hands requests to the pool, and remembers what each was charged until it ends.

    ``clock`` is the gate's. ``on_end`` is called after each end, in whichever thread the pool tells
    of it, with whether there are places to be given back.
    """

    def __init__(
        self,
        asking: Asking,
        slots: Slots,
        memory: PoolMemory,
        on_end: Callable[[bool], None],
        clock: Callable[[], float],
    ) -> None:
        self._asking = asking
        self._slots = slots
        self._memory = memory
        self._on_end = on_end
        self._clock = clock
        self._begun: dict[Any, float] = {}
        self._typical_seconds = math.inf
        self._charged: dict[Any, list[Decision]] = {}
        self._placed: set[Any] = set()  # those that hold places
        self._ended: deque[Decision] = deque()  # with places

    @property
    def is_quick(self) -> bool:
        """Whether the limited tasks took next to no time lately."""
        return self._typical_seconds < QUICK_SECONDS

    def watch(self, request: Any) -> None:
        """Hears of the end of a request that is about to go on."""
        watch(request, self._take_note_of_end)

    def run(self, request: Any) -> None:
        """Hands a request to the pool, in the slot that it was given."""
        try:
            self._slots.run(request)
        except Exception:
            logger.exception("rate limits: the pool did not take %s", request.id)
            forget(request)
            self._take_note_of_end(request)
        else:
            self._memory.keep(request)
            if request._already_revoked:  # It expired this very moment: no hook will be called.
                self._take_note_of_end(request)

    def start(
        self, request: Any, decision: Decision, due: float, shadow: tuple[Limit, ...]
    ) -> None:
        """Hands over a request whose limits granted a start that was due at a moment.

        Celery has to count it among those that wait for the pool by now.
        """
        _tell_task(request, Grant.of(decision, due))
        self.watch(request)
        self._charge(request, decision)
        self.count(request, shadow)
        self._begun[request] = self._clock()
        self.run(request)

    @staticmethod
    def let_pass(request: Any, now: float) -> None:
        """Prepares a request whose limits only count: it is not to be asked for again."""
        _tell_task(request, Grant(now))
        take_up(request)

    def count(self, request: Any, shadow: tuple[Limit, ...]) -> None:
        """Charges limits that only count; whatever fails there must not stop the task."""
        if not shadow:
            return
        try:
            decision = self._asking.ask_shadow(request, shadow)
        except Exception:
            logger.exception("rate limits: %s was not counted", request.task.name)
            return
        if decision is not None:
            self._charge(request, decision)

    def _charge(self, request: Any, decision: Decision) -> None:
        """Notes what a start was charged, and holds on to its places."""
        self._charged.setdefault(request, []).append(decision)
        if self._asking.keep(decision):
            self._placed.add(request)

    def release_ended(self) -> set[Limit]:
        """Gives back the places of tasks that ended, in one call; returns their limits."""
        decisions = []
        while self._ended:
            decisions.append(self._ended.popleft())
        return self._asking.release(decisions) if decisions else set()

    def take_unbegun(self) -> list[Decision]:
        """What those were charged that the pool was given and has not begun; they are forgotten."""
        unbegun: list[Decision] = []
        for request in [one for one in self._charged if one not in state.active_requests]:
            unbegun += self._charged.pop(request, ())
            self._begun.pop(request, None)
            self._placed.discard(request)
        return unbegun

    def abandon(self) -> None:
        """Gives back the places of all tasks: nobody will hear of their end."""
        for request in list(self._charged):
            self._asking.release(self._charged.pop(request, []))
        self._asking.close()

    def _take_note_of_end(self, request: Any) -> None:
        self._memory.end(request)
        self._slots.ended()
        self._learn(self._begun.pop(request, None))
        decisions = self._charged.pop(request, ())
        has_places = request in self._placed
        if has_places:
            self._placed.discard(request)
            self._ended.extend(decisions)
        self._on_end(has_places)

    def _learn(self, begun: float | None) -> None:
        """Takes note of how long a limited task took."""
        if begun is None:
            return
        seconds = self._clock() - begun
        if math.isinf(self._typical_seconds):
            self._typical_seconds = seconds
        self._typical_seconds += WEIGHT_OF_LAST * (seconds - self._typical_seconds)


def _tell_task(request: Any, grant: Grant) -> None:
    """Lets the process that runs a task of ours know; other tasks would only keep the key."""
    if isinstance(request.task, RateLimitedTask):
        grant.put_into(request.request_dict)
