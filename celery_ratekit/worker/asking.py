"""The gate's questions to the limiter, many in one round trip, and what it tells of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from celery.utils.log import get_logger

from ..errors import RatekitError
from ..limiter import Ask, Decision, Limiter, Reservations
from ..limits import Concurrency, Limit
from ..signals import rate_limit_hit
from .held import Held, Line
from .waiting import WaitingRoom

__all__ = ["APART_SECONDS", "HORIZON_SECONDS", "Asking"]

HORIZON_SECONDS = 1.0
"""How far ahead starts are reserved for idle slots."""

APART_SECONDS = 0.01
"""How far the limits of a call may disagree about its start: so long may others be held up."""

ERROR_PAUSE_SECONDS = 1.0

logger = get_logger(__name__)


class Asking:
    """Asks for starts, and gives back what is not needed any more.

    ``limiter`` makes the limiter when it is first needed: a worker without limited tasks has none.
    ``clock`` is the gate's.
    """

    def __init__(self, limiter: Callable[[], Limiter], clock: Callable[[], float]) -> None:
        self._make_limiter = limiter
        self._clock = clock
        self._keeper: Any = None

    @property
    def _limiter(self) -> Limiter:
        return self._make_limiter()

    def ask(self, room: WaitingRoom, shares: Sequence[tuple[Line, int]]) -> list[Held]:
        """Asks for so many starts of each line, in one round trip; returns who was denied."""
        asks: list[Ask] = []
        lines: list[Line] = []
        for line, count in shares:
            if line.takes_places:
                asks += [Ask(line.limits, 1, APART_SECONDS, APART_SECONDS)] * count
                lines += [line] * count
            else:
                asks.append(Ask(line.limits, count, HORIZON_SECONDS, APART_SECONDS))
                lines.append(line)
        answers = self._limiter.reserve_many(asks)
        now = self._clock()
        hits = []
        for line, answer in zip(lines, answers, strict=True):
            hits += room.answered(line, _usable(answer, line), now)
        self.tell_hits(hits)
        return [held for held in hits if held.decision is None]

    def tell_hits(self, hits: Iterable[Held]) -> None:
        """Tells whoever listens which calls were not granted at once."""
        for held in hits:
            line = held.line
            limit = line.blocked_by or line.limits[0]
            rate_limit_hit.send(
                sender=held.request.task, limit=limit, reason=line.reason, mode="enforce"
            )

    def ask_shadow(self, request: Any, limits: tuple[Limit, ...]) -> Decision | None:
        """Charges limits that only count, and tells where they would have made a call wait."""
        (answer,) = self._limiter.reserve_many([Ask(limits)])
        if isinstance(answer, RatekitError):
            logger.warning("rate limits: %s was not counted: %s", request.task.name, answer)
            return None
        if answer:
            decision = answer.decision(0)
            self.keep(decision)
            return decision
        if answer.reason != "unavailable":
            rate_limit_hit.send(
                sender=request.task, limit=answer.blocked_by, reason=answer.reason, mode="shadow"
            )
        return None

    def keep(self, decision: Decision) -> None:
        """Holds on to the places of a call that starts."""
        if any(isinstance(limit, Concurrency) for limit in decision.limits):
            if self._keeper is None:
                from ..limiter.leases import LeaseKeeper
                self._keeper = LeaseKeeper(self._limiter)
            self._keeper.keep(decision)

    def release(self, decisions: Iterable[Decision]) -> set[Limit]:
        """Gives back the places of calls that ended; returns the limits that have them again."""
        places = [one for one in decisions if any(_is_place(limit) for limit in one.limits)]
        if places and self._keeper is not None:
            self._keeper.give_back(*places)
        return {limit for one in places for limit in one.limits if _is_place(limit)}

    def give_back(self, decisions: Sequence[Decision]) -> None:
        """Gives back all that calls were charged which did not start."""
        if not decisions:
            return
        try:
            self._limiter.refund_many(decisions)
        except RatekitError as error:
            logger.warning("rate limits: %d grants were not given back: %s", len(decisions), error)

    def close(self) -> None:
        """Ends the thread that keeps the places."""
        if self._keeper is not None:
            self._keeper.close()


def _is_place(limit: Limit) -> bool:
    return isinstance(limit, Concurrency)


def _usable(answer: Reservations | RatekitError, line: Line) -> Reservations:
    """An answer that can be waited for; where the question itself was refused, a pause."""
    if isinstance(answer, Reservations):
        return answer
    logger.error("rate limits: %s cannot be asked for: %s", line.limits, answer)
    return Reservations.denied(
        Decision(False, line.limits, ERROR_PAUSE_SECONDS, line.limits[0], "unavailable")
    )
