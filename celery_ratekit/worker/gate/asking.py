"""The gate's questions to the limiter, many in one round trip, and what it tells of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial
from typing import Any

from celery.utils.log import get_logger

from ...errors import RatekitError
from ...limiter import Ask, Decision, LeaseKeeper, Limiter, Reservations
from ...limits import Concurrency, Limit, TokenBucket
from ...rules import ENFORCE, SHADOW
from ...signals import rate_limit_hit
from .held import HORIZON_SECONDS, Held, Line, Origin
from .stock import STOCK_SECONDS
from .waiting import WaitingRoom

__all__ = ["APART_SECONDS", "Asking"]

APART_SECONDS = 0.01
"""How far the limits of a call may disagree about its start: so long may others be held up."""

ERROR_PAUSE_SECONDS = 1.0

Use = Callable[[Reservations, float], list[Held]]
"""Takes in an answer that came at a moment; returns who is late for it."""

logger = get_logger(__name__)


class Asking:
    """Asks for starts, and gives back what is not needed any more.

    ``limiter`` makes the limiter when it is first needed: a worker without limited tasks has none.
    ``clock`` is the gate's. ``announce`` is told as well of each call that has to wait, once.
    """

    def __init__(
        self,
        limiter: Callable[[], Limiter],
        clock: Callable[[], float],
        announce: Callable[[Sequence[Held]], None] | None = None,
    ) -> None:
        self._make_limiter = limiter
        self._clock = clock
        self._announce = announce
        self._keeper: LeaseKeeper | None = None

    @property
    def _limiter(self) -> Limiter:
        return self._make_limiter()

    def ask(
        self,
        room: WaitingRoom,
        shares: Sequence[tuple[Line, int]],
        horizon_seconds: float = HORIZON_SECONDS,
    ) -> None:
        """Asks for so many starts of each line, in one round trip."""
        asks: list[Ask] = []
        uses: list[Use] = []
        for line, count in shares:
            horizon = min(horizon_seconds, line.horizon_seconds)
            yields = line.origin is Origin.PARKABLE
            several = [(1, APART_SECONDS)] * count if line.takes_places else [(count, horizon)]
            for number, ahead in several:
                asks.append(Ask(line.limits, number, ahead, APART_SECONDS, yields))
                uses.append(partial(room.answered, line))
            if line.is_low_on_stock:
                more, use = _more_stock(room, line)
                asks.append(more)
                uses.append(use)
        answers = self._limiter.reserve_many(asks)
        now = self._clock()
        hits: list[Held] = []
        for ask, use, answer in zip(asks, uses, answers, strict=True):
            hits += use(_usable(answer, ask), now)
        self.tell_hits(hits)

    def restock(self, room: WaitingRoom) -> None:
        """Asks for starts for those to come where few are left; nobody waits for these."""
        lines = room.lines_low_on_stock()
        if not lines:
            return
        questions = [_more_stock(room, line) for line in lines]
        answers = self._limiter.reserve_many([ask for ask, _ in questions])
        now = self._clock()
        for (ask, use), answer in zip(questions, answers, strict=True):
            use(_usable(answer, ask), now)

    def tell_hits(self, hits: Sequence[Held]) -> None:
        """Tells whoever listens which calls were not granted at once."""
        if hits and self._announce is not None:
            self._announce(hits)
        for held in hits:
            line = held.line
            limit = line.blocked_by or line.limits[0]
            rate_limit_hit.send(
                sender=held.request.task,
                task_id=held.request.id,
                limit=limit,
                reason=line.reason,
                mode=ENFORCE,
            )

    def ask_shadow(self, request: Any, limits: tuple[Limit, ...]) -> Decision | None:
        """Charges limits that only count, and tells where they would have made a call wait."""
        (answer,) = self._limiter.reserve_many([Ask(limits)])
        if isinstance(answer, RatekitError):
            logger.warning("rate limits: %s was not counted: %s", request.task.name, answer)
            return None
        if answer:
            return answer.decision(0)
        if answer.reason != "unavailable":
            rate_limit_hit.send(
                sender=request.task,
                task_id=request.id,
                limit=answer.blocked_by,
                reason=answer.reason,
                mode=SHADOW,
            )
        return None

    def keep(self, decision: Decision) -> bool:
        """Holds on to the places of a call that starts; whether it has any."""
        if not _has_place(decision.limits):
            return False
        if self._keeper is None:
            self._keeper = LeaseKeeper(self._limiter)
        self._keeper.keep(decision)
        return True

    def release(self, decisions: Sequence[Decision]) -> set[Limit]:
        """Gives back the places of calls that ended; returns the limits that have them again."""
        if self._keeper is not None:
            self._keeper.give_back(*decisions)
        return {limit for one in decisions for limit in one.limits if _is_place(limit)}

    def give_back(self, unused: Iterable[tuple[float, Decision]]) -> None:
        """Gives back what calls were charged which did not start, as far as it still counts.

        ``unused``: each with the moment at which it was to start.
        """
        now = self._clock()
        parts = [_not_refilled(decision, now - moment) for moment, decision in unused]
        decisions = [part for part in parts if part.limits]
        if not decisions:
            return
        try:
            answers = self._limiter.refund_many(decisions)
        except Exception:
            # Tokens that are lost delay a task; what this exception interrupts may lose one.
            logger.exception("rate limits: %d grants were not given back", len(decisions))
            return
        if errors := [answer for answer in answers if answer is not None]:
            logger.warning("rate limits: %d grants were not given back: %s", len(errors), errors[0])

    def close(self) -> None:
        """Ends the thread that keeps the places."""
        if self._keeper is not None:
            self._keeper.close()


def _more_stock(room: WaitingRoom, line: Line) -> tuple[Ask, Use]:
    """The question that fills up the stock of a line, and what to do with its answer."""
    missing = line.stock_size - len(line.stock)
    yields = line.origin is Origin.PARKABLE
    ask = Ask(line.limits, missing, STOCK_SECONDS, APART_SECONDS, yields)
    return ask, partial(room.stocked, line, missing)


def _not_refilled(decision: Decision, late_seconds: float) -> Decision:
    """What of a grant may be given back so long after its moment.

    A bucket that has refilled since what the call took may have been full, and others may have
    taken what overflowed: given back, it would let one start more than the limit allows.
    """
    limits = tuple(
        limit for limit in decision.limits if not _is_refilled_after(limit, late_seconds)
    )
    if len(limits) == len(decision.limits):
        return decision
    part = copy(decision)
    part.limits = limits
    return part


def _is_refilled_after(limit: Limit, seconds: float) -> bool:
    if not isinstance(limit, TokenBucket):
        return False
    assert not callable(limit.cost)  # A decision holds only limits that were worked out.
    return seconds * limit.rate.per_second >= limit.cost


def _has_place(limits: tuple[Limit, ...]) -> bool:
    for limit in limits:  # noqa: SIM110 - a generator would take longer than the look, per task
        if isinstance(limit, Concurrency):
            return True
    return False


def _is_place(limit: Limit) -> bool:
    return isinstance(limit, Concurrency)


def _usable(answer: Reservations | RatekitError, ask: Ask) -> Reservations:
    """An answer that can be waited for; where the question itself was refused, a pause."""
    if isinstance(answer, Reservations):
        return answer
    logger.error("rate limits: %s cannot be asked for: %s", ask.limits, answer)
    limits = (ask.limits,) if isinstance(ask.limits, Limit) else tuple(ask.limits)
    return Reservations.denied(
        Decision(False, limits, ERROR_PAUSE_SECONDS, limits[0], "unavailable")
    )
