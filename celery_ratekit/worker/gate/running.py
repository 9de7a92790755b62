"""Tasks that the gate let go on, from the slot that each was given to its end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.utils.log import get_logger
from celery.worker import state

from ...limiter import Decision
from ...limits import Limit
from ...tasks.base import RateLimitedTask
from ...tasks.grant import Grant
from .apart import Apart, at_once
from .asking import Asking
from .ends import watch
from .pool_memory import PoolMemory
from .requests import forget, take_up
from .slots import Slots

__all__ = ["Running"]

QUICK_SECONDS = 0.02
"""A slot whose tasks take less is free again so soon that later starts can be promised to it."""

SHORTEST_RUN_SECONDS = 0.001

WEIGHT_OF_LAST = 0.1
"""How much the last task counts in what tasks take."""

logger = get_logger(__name__)


class _Charged:
    """What a task was charged, until it ends; ``begun`` is 0 where its limits only count."""

    __slots__ = ("begun", "decisions", "has_places")

    def __init__(self) -> None:
        self.begun = 0.0
        self.decisions: list[Decision] = []
        self.has_places = False


class Running:
    """Hands requests to the pool, and remembers what each was charged until it ends.

    ``clock`` is the gate's. ``on_end`` is called after each end, in whichever thread the pool tells
    of it, with whether there are places to be given back. ``apart`` calls outside of the pool.
    """

    def __init__(
        self,
        asking: Asking,
        slots: Slots,
        memory: PoolMemory,
        on_end: Callable[[bool], None],
        clock: Callable[[], float],
        *,
        apart: Apart = at_once,
    ) -> None:
        self._asking = asking
        self._slots = slots
        self._memory = memory
        self._on_end = on_end
        self._clock = clock
        self._hear_of_end = partial(apart, self._take_note_of_end)
        #: How long the last limited tasks took; infinity before the first.
        self.typical_seconds = math.inf
        self._charged: dict[Any, _Charged] = {}
        self._ended: deque[Decision] = deque()  # with places

    def runs_within(self, seconds: float) -> int:
        """How many limited tasks a slot runs in so long, as far as the last ones tell.

        0 where they take so long that the next slot to be free cannot be foreseen.
        """
        if self.typical_seconds > QUICK_SECONDS:
            return 0
        return int(seconds / max(self.typical_seconds, SHORTEST_RUN_SECONDS))

    def watch(self, request: Any) -> None:
        """Hears of the end of a request that is about to go on."""
        watch(request, self._hear_of_end)

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
        if isinstance(request.task, RateLimitedTask):  # Others would only keep the key.
            Grant.of(decision, due).put_into(request.request_dict)
        watch(request, self._hear_of_end)
        self._charge(request, decision).begun = self._clock()
        self.count(request, shadow)
        self.run(request)

    @staticmethod
    def let_pass(request: Any, now: float) -> None:
        """Prepares a request whose limits only count: it is not to be asked for again."""
        if isinstance(request.task, RateLimitedTask):
            Grant(now).put_into(request.request_dict)
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

    def _charge(self, request: Any, decision: Decision) -> _Charged:
        """Notes what a start was charged, and holds on to its places."""
        charged = self._charged.get(request)
        if charged is None:
            charged = self._charged[request] = _Charged()
        charged.decisions.append(decision)
        if self._asking.keep(decision):
            charged.has_places = True
        return charged

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
            unbegun += self._charged.pop(request).decisions
        return unbegun

    def abandon(self) -> None:
        """Gives back the places of all tasks: nobody will hear of their end."""
        for request in list(self._charged):
            self._asking.release(self._charged.pop(request).decisions)
        self._asking.close()

    def _take_note_of_end(self, request: Any) -> None:
        self._memory.end(request)
        self._slots.ended()
        charged = self._charged.pop(request, None)
        if charged is None:
            self._on_end(False)
            return
        if charged.begun:
            self._learn(self._clock() - charged.begun)
        if charged.has_places:
            self._ended.extend(charged.decisions)
        self._on_end(charged.has_places)

    def _learn(self, seconds: float) -> None:
        """Takes note of how long a limited task took."""
        if math.isinf(self.typical_seconds):
            self.typical_seconds = seconds
        self.typical_seconds += WEIGHT_OF_LAST * (seconds - self.typical_seconds)
