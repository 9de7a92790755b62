"""Takes out of the backlog what its queues let start: asks them first, claims what they granted.

So the work goes with what is sent: nothing is claimed to be given back, and a queue that said no
is not asked before its own next moment.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ...backlog import Backlog, Claim, Draw, DueLine, Return
from ...errors import BadOptionError, RatekitError
from ...limiter import Decision, Limiter
from ...limiter.ask import Ask
from ...limiter.decision import Reservations
from ...limits import TokenBucket
from ...queues import QUEUE_HEADER, QueuePlace, place_of
from ...queues.view import FRESH_SECONDS, QueueView
from ...worker.backlog.parcel import Parcel, unpack
from .promises import Promise
from .questions import HORIZON_SECONDS, Question, questions_for, spread

__all__ = ["Taken", "Taker"]

MOST_LINES = 250
"""How many lines are looked at in one round trip: while they are, nothing is sent."""

MOST_OF_LINE = 250
MARK_SECONDS = 2.0
"""How long newcomers know that others wait."""

MOST_DENIED = 10_000

LONGEST_WAIT_SECONDS = 60.0
"""When a queue that is deactivated is asked again, should nobody tell that it is not any more."""

SHORTEST_WAIT_SECONDS = 0.001

UNKNOWN_WAIT_SECONDS = 1.0
"""When to look again at what is of no queue."""

logger = logging.getLogger(__name__)


class Taken(NamedTuple):
    """What was taken; ``again_seconds``: when to look again, 0 where there is more right now."""

    promises: list[Promise]
    again_seconds: float


class Taker:
    """Takes for one dispatcher, in its ``name``, from the backlogs of one prefix's queues."""

    def __init__(
        self,
        backlog: Backlog,
        limiter: Limiter,
        view: QueueView,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backlog = backlog
        self._limiter = limiter
        self._view = view
        self._name = name
        self._clock = clock
        #: What said no for long, as it was then, by the name of its queue.
        self.denied: dict[str, TokenBucket] = {}

    def take(self, target: str, room: int) -> Taken:
        """Claims of a backlog what may be sent within the horizon, ``room`` at the most."""
        wait = self._backlog.soonest(target)
        if wait > 0:
            return Taken([], wait)
        prefix = f"{self._view.store.prefix}/"
        found = self._backlog.due_lines(target, prefix, MOST_LINES, MOST_OF_LINE)
        by_name: dict[str, list[DueLine]] = {}
        for line in sorted(found.lines, key=lambda one: one.turn):
            by_name.setdefault(line.limit_name.removeprefix(prefix), []).append(line)
        records = self._view.get_many(by_name)
        for name in by_name.keys() - records.keys():
            self._drop_removed(target, name, by_name[name])
        questions, is_cut = questions_for(records.values(), by_name, room)
        promises, again = self._ask(target, questions) if questions else ([], math.inf)
        is_more = is_cut or found.is_more
        return Taken(promises, 0.0 if is_more else min(again, found.next_due_seconds))

    def _ask(self, target: str, questions: Sequence[Question]) -> tuple[list[Promise], float]:
        """What queues let start now; seconds until one of them may let more start."""
        answers = self._reserve(questions)
        answered_at = self._clock()
        draws = [
            Draw(line, one.limit, count, _wait_of(one, answer), answer.asked_us)
            for one, answer in zip(questions, answers, strict=True)
            for line, count in zip(one.lines, spread(answer.granted, one.lines), strict=True)
        ]
        drawn = iter(self._backlog.draw(target, self._name, draws))
        promises: list[Promise] = []
        unused: list[Decision] = []
        for one, answer in zip(questions, answers, strict=True):
            claims = [claim for _ in one.lines for claim in next(drawn)]
            kept = self._promised(one, claims, answer, answered_at)
            promises += kept
            unused += answer.decisions()[len(kept) :]
        self._limiter.refund_many(unused)
        self._note_denials(questions, answers)
        waits = (
            _wait_of(one, answer) or 0.0 for one, answer in zip(questions, answers, strict=True)
        )
        return promises, min(waits, default=math.inf)

    def _reserve(self, questions: Sequence[Question]) -> list[Reservations]:
        asks = [Ask(one.limit, one.count, HORIZON_SECONDS) for one in questions]
        answers: list[Reservations] = []
        for answer in self._limiter.reserve_many(asks):
            if isinstance(answer, RatekitError):
                raise answer
            answers.append(answer)
        return answers

    def _promised(
        self,
        question: Question,
        claims: Iterable[Claim],
        answer: Reservations,
        answered_at: float,
    ) -> list[Promise]:
        """Claims with their starts, in order; by the moment of the answer none can be early."""
        readable = [
            (claim, parcel)
            for claim in claims
            if (parcel := self._read(claim, question.record.place)) is not None
        ]
        decisions = answer.decisions()[: len(readable)]
        place, limit = question.record.place, question.limit
        return [
            Promise(
                answered_at + decision.wait_seconds,
                answered_at,
                claim,
                parcel,
                place,
                limit,
                decision,
            )
            for (claim, parcel), decision in zip(readable, decisions, strict=True)
        ]

    def _read(self, claim: Claim, place: QueuePlace) -> Parcel | None:
        """The message of a claim; None for one that is of no such queue, and was put back."""
        try:
            parcel = unpack(claim.message)
            if place_of(parcel.headers.get(QUEUE_HEADER)) == place:
                return parcel
        except (BadOptionError, ValueError, TypeError, KeyError, AttributeError):
            pass
        logger.warning("rate limits: what waits for %s is no message of it", place.limit_name)
        limit = TokenBucket(place.limit_name, "1/s")
        self._backlog.give_back(self._name, [Return(claim, limit, LONGEST_WAIT_SECONDS)])
        return None

    def _note_denials(self, questions: Sequence[Question], answers: Sequence[Reservations]) -> None:
        """Has newcomers know that others wait, and keeps in mind who is not asked soon."""
        waiting = []
        for one, answer in zip(questions, answers, strict=True):
            if answer.granted < one.count:
                waiting.append(one.limit)
            if answer.wait_seconds > FRESH_SECONDS:
                if len(self.denied) >= MOST_DENIED:
                    self.denied.clear()
                self.denied[one.record.place.name] = one.limit
        self._limiter.mark(waiting, MARK_SECONDS)

    def _drop_removed(self, target: str, name: str, lines: Sequence[DueLine]) -> None:
        """Forgets tasks of a queue that was removed while they were on their way into it."""
        place = self._view.store.place(name)
        limit = TokenBucket(place.limit_name, "1/s")
        draws = [Draw(line, limit, line.waiting, UNKNOWN_WAIT_SECONDS, 0) for line in lines]
        claims = [one for of in self._backlog.draw(target, self._name, draws) for one in of]
        # Asked after they were claimed: a queue that was made anew meanwhile has none of them.
        is_gone = self._view.store.get(name) is None
        dropped = [one for one in claims if is_gone and _place_of(one) == place]
        kept = [Return(one, limit, UNKNOWN_WAIT_SECONDS) for one in claims if one not in dropped]
        self._backlog.give_back(self._name, kept)
        if dropped:
            logger.warning("rate limits: %d tasks of a removed queue are dropped", len(dropped))
            self._backlog.finish(target, self._name, [one.entry_id for one in dropped])


def _wait_of(question: Question, answer: Reservations) -> float | None:
    """How long the lines are to wait; None where all was granted, and there may be more."""
    if answer.granted == question.count:
        return None
    return max(SHORTEST_WAIT_SECONDS, min(answer.wait_seconds, LONGEST_WAIT_SECONDS))


def _place_of(claim: Claim) -> QueuePlace | None:
    try:
        return place_of(unpack(claim.message).headers.get(QUEUE_HEADER))
    except (BadOptionError, ValueError, TypeError, KeyError, AttributeError):
        return None
