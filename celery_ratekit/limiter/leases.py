"""Keeps the places of running calls for as long as they run, whatever Redis does meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from ..errors import RatekitError, ReservationError
from ..limits import Concurrency
from .decision import Decision
from .forks import after_fork
from .lease_book import LeaseBook, Round, leases_of
from .limiter import Limiter

__all__ = ["LeaseKeeper"]

IDLE_SECONDS = 10.0
"""How long the thread stays after the last place was given back."""

LONGEST_WAIT_SECONDS = 3_600.0  # A lease may be longer than any lock can be waited for.

logger = logging.getLogger(__name__)


class LeaseKeeper:
    """Extends the leases of many granted calls from one thread, and gives their places back.

    A plain daemon thread, since the calls may keep the main thread, or an event loop, for longer
    than a lease. It runs while there is something to keep, and extends all leases in one round
    trip, four times within the shortest. While Redis is away it goes on trying; a place that
    ended meanwhile, and was taken by somebody else, stays lost and is logged. A forked child keeps
    nothing of its parent's.

    ``limiter`` is who granted the calls. Leases below 0.2 s are too short to be kept.
    """

    def __init__(self, limiter: Limiter, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = limiter
        self._clock = clock
        self.forget()
        after_fork(self)

    def forget(self) -> None:
        """Begins with nothing kept; a forked child's part."""
        self._book = LeaseBook()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_in_trouble = False

    def keep(self, decision: Decision) -> None:
        """Extends the call's places from now on, until they are given back.

        Does nothing where there are none, or where Redis did not grant them. Raises
        ReservationError where several calls hold the places together: reserve those one by one.
        """
        if not leases_of(decision):
            return
        if not decision.holder:
            raise ReservationError(
                "expected a call that holds places of its own, got one of several that were "
                "reserved together; reserve calls with a concurrency limit one by one"
            )
        with self._changed:
            self._book.keep(decision, self._clock())
            self._wake_thread()

    def give_back(self, *decisions: Decision) -> None:
        """Gives the places of calls back, in one round trip; again does no harm.

        Where Redis does not take them it waits for one time-out at the most and raises nothing:
        the thread gives them back when Redis answers again, unless their lease is over by then.
        """
        held = [one for one in decisions if leases_of(one) and one.holder]
        if not held:
            return
        with self._changed:
            for decision in held:
                self._book.drop(decision)
        unpaid: Sequence[Decision] = held
        try:
            unpaid = self._not_released(held)
        finally:  # Also where a time limit of the caller's ends it: giving back twice is harmless.
            self._settle(held, unpaid)

    def close(self) -> None:
        """Ends the thread and keeps nothing any more; what is owed is given back if possible."""
        with self._changed:
            owed = self._book.begin_round(self._clock()).owed
            self._book = LeaseBook()
            self._thread = None
            self._changed.notify_all()
        if owed:
            self._not_released(owed)

    # -- the thread -------------------------------------------------------------------------

    def _wake_thread(self) -> None:
        """Lets the thread see what has changed; begins one where none runs."""
        if self._thread is not None:
            self._changed.notify_all()
            return
        self._thread = threading.Thread(target=self._run, name="ratekit-leases", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # The process ends, or may not have more threads.
            self._thread = None
            logger.warning("rate limits: places end with their lease: %s", error)

    def _run(self) -> None:
        while (work := self._next_round()) is not None:
            try:
                self._carry_out(work)
            except Exception:
                logger.exception("rate limits: a round of extending leases has failed")
                with self._changed:
                    self._book.retry(self._clock())

    def _next_round(self) -> Round | None:
        """What is to be done, when it is; None where the thread is to end."""
        me = threading.current_thread()
        with self._changed:
            idle_until = self._clock() + IDLE_SECONDS
            while self._thread is me:
                now = self._clock()
                if self._book.round_at <= now:
                    return self._book.begin_round(now)
                until = idle_until if self._book.is_empty else self._book.round_at
                if now >= until:
                    self._thread = None
                    break
                self._changed.wait(min(until - now, LONGEST_WAIT_SECONDS))
        return None

    def _carry_out(self, work: Round) -> None:
        if work.owed:
            self._settle(work.owed, self._not_released(work.owed))
        if work.kept:
            self._extend(work.kept)

    # -- with Redis -------------------------------------------------------------------------

    def _extend(self, kept: Sequence[Decision]) -> None:
        answers = self._limiter.extend_many(kept)
        errors = [answer for answer in answers if isinstance(answer, RatekitError)]
        lost = [one for one, answer in zip(kept, answers, strict=True) if answer is False]
        with self._changed:
            if errors:
                self._book.retry(self._clock())
            lost = [one for one in lost if self._book.is_newly_lost(one)]
        for decision in lost:
            logger.warning(
                "rate limits: a place of %s was lost while its call still runs: its lease ended, "
                "or Redis lost it",
                _names(decision),
            )
        self._tell_trouble(errors)

    def _not_released(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Those whose places Redis did not take back."""
        answers = self._limiter.release_many(decisions)
        self._tell_trouble([error for error in answers if error is not None])
        return [one for one, error in zip(decisions, answers, strict=True) if error is not None]

    def _settle(self, held: Sequence[Decision], unpaid: Sequence[Decision]) -> None:
        with self._changed:
            for decision in held:
                self._book.paid(decision)
            for decision in unpaid:
                self._book.owe(decision, self._clock())
            if unpaid:
                self._wake_thread()

    def _tell_trouble(self, errors: Sequence[RatekitError]) -> None:
        """Logs the first error of an outage, and nothing more until all went well again."""
        if errors and not self._is_in_trouble:
            logger.warning(
                "rate limits: leases of places cannot be extended or given back for now, which is "
                "tried again: %s",
                errors[0],
            )
        self._is_in_trouble = bool(errors)


def _names(decision: Decision) -> str:
    limits = [limit for limit in decision.limits if isinstance(limit, Concurrency)]
    return ", ".join(repr(limit.shown_name) for limit in limits)
