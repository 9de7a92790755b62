"""Sends to plain workers what waits in throttled queues, each task at its start.

What it limits is sending: a plain worker that is busy starts later what it was sent.
"""

from __future__ import annotations

import heapq
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..backlog import Backlog, Claim, Return
from ..errors import BadOptionError, LimiterUnavailableError, QueueNotFound, RatekitError
from ..limiter import Limiter
from ..limiter.ask import Ask
from ..limiter.decision import Decision, Reservations
from ..limiter.prepared import random_id
from ..limits import Limit, TokenBucket
from ..queues import QUEUE_HEADER, QueueBook, QueuePlace, place_of
from ..worker.liveness import Liveness
from ..worker.parcel import Parcel, unpack
from .listening import Listener
from .outbox import Outbox

__all__ = ["Dispatcher", "run_dispatcher"]

HORIZON_SECONDS = 0.2
"""How far ahead starts are promised: the round trips of that time go into one."""

LOOK_SECONDS = 0.1
"""How often to look where tasks wait for their limits."""

TASKS_SECONDS = 1.0

LATE_SECONDS = 0.1
"""What is sent later than this is asked for anew."""

AFTER_LATE_SECONDS = 0.1
"""When to ask anew for what was late: not at once, which would make others late."""

MOST_AT_ONCE = 250
"""How many are claimed at a time: while they are, nothing is sent."""

FEWEST_AT_ONCE = 32

SWEEP_SECONDS = 5.0
"""How often to bring back what others had claimed that do not live any more."""

EXPIRE_SECONDS = 60.0
"""How often auto-named queues are looked through for those that are over."""

MARK_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 60.0
AFTER_ERROR_SECONDS = 1.0
LONGEST_INTERVAL_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Due(NamedTuple):
    """A claimed task with its start, by the monotonic clock."""

    at: float
    number: int
    claim: Claim
    parcel: Parcel
    place: QueuePlace
    decision: Decision


class Dispatcher:
    """One of any number of dispatchers of the queues of one prefix.

    ``targets`` are Celery's queues that these go to. A task is claimed in this dispatcher's name,
    asked for, sent at its start, and forgotten once the broker has it: what is interrupted waits
    again. One that dies between the last two steps has its task sent again.
    """

    def __init__(
        self,
        *,
        backlog: Backlog,
        limiter: Limiter,
        queues: QueueBook,
        prefix: str,
        targets: Callable[[], Iterable[str]],
        outbox: Outbox,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"dispatcher:{random_id()}"
        self._backlog = backlog
        self._limiter = limiter
        self._queues = queues
        self._prefix = prefix
        self._targets = targets
        self._outbox = outbox
        self._clock = clock
        self._liveness = Liveness(backlog, self.name)
        self._due: list[Due] = []
        self._numbers = 0
        self._count = FEWEST_AT_ONCE
        self._tasks: dict[str, list[str]] = {}
        self._tasks_until: dict[str, float] = {}
        self._is_uncertain = False
        self._changed: set[str] = set()
        self._look_at: dict[str, float] = {}
        self._sweep_at = 0.0
        self._expire_at = 0.0

    def turn(self, interval: float) -> float:
        """Does what is due; seconds until the next turn, ``interval`` at the most."""
        self._mend()
        self._is_uncertain = True  # until the turn comes to its end
        sleep = self._turn(interval)
        self._is_uncertain = False
        return sleep

    def _turn(self, interval: float) -> float:
        now = self._clock()
        while self._changed:
            # They may have been asked for as they were before.
            name = self._changed.pop()
            for target in self._look_at:
                self._backlog.wake(target, limit_name=name)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_SECONDS
            self._queues.view(self._prefix).store.expire()
            self._look_at = {name: self._look_at.get(name, 0.0) for name in self._targets()}
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            self._sweep()
        for target, at in list(self._look_at.items()):
            if self._clock() >= at:
                self._look_at[target] = self._clock() + min(interval, self._take(target))
        self._send_due()
        moments = [*self._look_at.values(), self._due[0].at if self._due else math.inf]
        return max(0.0, min([*moments, self._clock() + interval]) - self._clock())

    def look_soon(self, changed: Collection[str] = ()) -> None:
        """Has the next turn look into every backlog; limits of these names were ``changed``."""
        self._look_at = dict.fromkeys(self._look_at, 0.0)
        self._tasks_until.clear()
        self._queues.look_again()
        self._changed |= {name for name in changed if name.startswith(f"{self._prefix}/")}

    def end(self) -> None:
        """Gives back what was not sent, and says that this one is gone."""
        self._give_up([self._due.pop() for _ in range(len(self._due))])
        for target in self._look_at:
            self._backlog.give_back_all(target, self.name)
        self._liveness.end()

    def _mend(self) -> None:
        """Gives back what a turn that failed may have left claimed."""
        if self._is_uncertain:
            keep = [one.claim.entry_id for one in self._due]
            for target in self._look_at:
                self._backlog.give_back_all(target, self.name, keep=keep)

    # -- taking -----------------------------------------------------------------------------

    def _take(self, target: str) -> float:
        """Claims what is due in a backlog and asks for its starts; seconds until the next look."""
        tasks = self._tasks_of(target)
        if not tasks:
            return math.inf
        self._liveness.begin()
        claimed = self._backlog.claim(
            target, self.name, tasks, self._count, within_seconds=HORIZON_SECONDS
        )
        if not claimed.claims:
            return max(0.0, claimed.next_due_seconds - HORIZON_SECONDS)
        granted = self._ask(claimed.claims)
        self._count = min(MOST_AT_ONCE, max(FEWEST_AT_ONCE, 2 * granted))
        return 0.0 if granted == len(claimed.claims) else LOOK_SECONDS

    def _tasks_of(self, target: str) -> Sequence[str]:
        """The names of the tasks that wait, found out once a second."""
        now = self._clock()
        if not self._tasks.get(target) or now >= self._tasks_until.get(target, 0.0):
            self._tasks[target] = list(self._backlog.sizes(target, most_groups=0).by_task)
            self._tasks_until[target] = now + TASKS_SECONDS
        return self._tasks[target]

    def _ask(self, claims: Sequence[Claim]) -> int:
        """Asks for the starts of claims; how many were granted."""
        by_limit: dict[TokenBucket, list[tuple[Claim, Parcel, QueuePlace]]] = {}
        for claim in claims:
            found = self._read(claim)
            if found is not None:
                limit, parcel, place = found
                by_limit.setdefault(limit, []).append((claim, parcel, place))
        asks = [Ask(limit, len(of), HORIZON_SECONDS) for limit, of in by_limit.items()]
        granted = 0
        asked_at = self._clock()
        returns: list[Return] = []
        for (limit, of), answer in zip(
            by_limit.items(), self._limiter.reserve_many(asks), strict=True
        ):
            if isinstance(answer, RatekitError):
                raise answer
            granted += answer.granted
            self._promise(of[: answer.granted], answer, asked_at)
            returns += [_return(claim, limit, answer) for claim, _, _ in of[answer.granted :]]
        if returns:
            self._backlog.give_back(self.name, returns)
            self._limiter.mark({one.blocked_by for one in returns if one.blocked_by}, MARK_SECONDS)
        return granted

    def _read(self, claim: Claim) -> tuple[TokenBucket, Parcel, QueuePlace] | None:
        """What a claim is of; None for one that was put where it belongs."""
        try:
            parcel = unpack(claim.message)
            place = place_of(parcel.headers.get(QUEUE_HEADER))
            if place.prefix == self._prefix:
                return self._queues.limit(place.header), parcel, place
        except QueueNotFound:
            logger.warning("rate limits: a task of a queue that was removed is dropped")
            self._backlog.finish(claim.queue, self.name, [claim.entry_id])
            return None
        except (BadOptionError, ValueError, TypeError, KeyError):
            logger.debug("rate limits: what waits is no message of a throttled queue")
        self._put_off(claim)
        return None

    def _put_off(self, claim: Claim) -> None:
        """Leaves alone what is of no queue of these: a worker with the gate takes it."""
        limit = TokenBucket("not for a dispatcher", "1/s")
        self._backlog.give_back(self.name, [Return(claim, limit, LONGEST_WAIT_SECONDS)])

    def _promise(
        self,
        claims: Sequence[tuple[Claim, Parcel, QueuePlace]],
        answer: Reservations,
        asked_at: float,
    ) -> None:
        for (claim, parcel, place), decision, start in zip(
            claims, answer.decisions(), answer, strict=True
        ):
            self._numbers += 1
            due = Due(asked_at + start, self._numbers, claim, parcel, place, decision)
            heapq.heappush(self._due, due)

    # -- sending ----------------------------------------------------------------------------

    def _send_due(self) -> None:
        now = self._clock()
        due: list[Due] = []
        while self._due and self._due[0].at <= now:
            due.append(heapq.heappop(self._due))
        if due:
            self._send(due)

    def _send(self, due: Sequence[Due]) -> None:
        """Sends what is due, but for what is late by now."""
        self._note_charges(due)
        sent: list[Due] = []
        left = list(due)
        try:
            for one in due:
                if self._clock() - one.at <= LATE_SECONDS:
                    self._outbox.send(one.claim.queue, one.parcel)
                    sent.append(one)
                    left.remove(one)
        finally:
            self._finish(sent)
            self._give_up(left)

    def _note_charges(self, due: Sequence[Due]) -> None:
        """A worker with the gate that gets one of these must not charge it again."""
        store = self._queues.view(self._prefix).store
        store.ask_all(
            [
                command
                for one in due
                for command in store.opening(
                    one.place.name,
                    [str(one.parcel.headers["id"])],
                    one.decision.start_us,
                    is_dispatched=True,
                )
            ]
        )

    def _finish(self, sent: Sequence[Due]) -> None:
        by_queue: dict[str, list[bytes]] = {}
        for one in sent:
            by_queue.setdefault(one.claim.queue, []).append(one.claim.entry_id)
        for queue, entries in by_queue.items():
            self._backlog.finish(queue, self.name, entries)

    def _give_up(self, due: Sequence[Due]) -> None:
        """Puts back what was not sent, with what it was charged; it is worth asking at once."""
        if not due:
            return
        soon = self._clock() + AFTER_LATE_SECONDS
        for queue in {one.claim.queue for one in due}:
            self._look_at[queue] = min(soon, self._look_at.get(queue, soon))
        self._limiter.refund_many([one.decision for one in due])
        returns = [
            Return(one.claim, limit, 0.0) for one in due for limit in one.decision.limits[:1]
        ]
        self._backlog.give_back(self.name, returns)

    def _sweep(self) -> None:
        """Brings back what others had claimed that do not live any more."""
        for target in list(self._look_at):
            others = [one for one in self._backlog.claimers(target) if one != self.name]
            lives = self._backlog.alive(others) if others else []
            for other, is_alive in zip(others, lives, strict=True):
                if not is_alive:
                    count = self._backlog.give_back_all(target, other)
                    self._look_at[target] = 0.0
                    logger.warning("rate limits: %d tasks that %s had wait again", count, other)


def _return(claim: Claim, limit: Limit, answer: Reservations) -> Return:
    wait = min(answer.wait_seconds, LONGEST_WAIT_SECONDS)
    return Return(claim, limit, wait, asked_us=answer.asked_us)


def run_dispatcher(throttle: Any, interval: float) -> None:
    """Runs a dispatcher of a throttle until this process is told to stop."""
    is_number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
    if not is_number or not 0 < interval <= LONGEST_INTERVAL_SECONDS:
        raise BadOptionError(
            f"expected an interval of more than 0 and at most {LONGEST_INTERVAL_SECONDS:g} "
            f"seconds, got {interval!r:.40}; it is the longest sleep, 1 is right nearly always"
        )
    stopping = threading.Event()
    with (
        Listener(throttle) as listener,
        Outbox(throttle.app) as outbox,
        _stopped_by(stopping, listener),
    ):
        dispatcher = throttle.make_dispatcher(outbox)
        try:
            while not stopping.is_set():
                _take_turn(dispatcher, listener, interval)
        finally:
            with suppress(LimiterUnavailableError):
                dispatcher.end()


def _take_turn(dispatcher: Dispatcher, listener: Listener, interval: float) -> None:
    try:
        sleep = dispatcher.turn(interval)
    except Exception as error:  # noqa: BLE001 - a dispatcher goes on, whatever was away
        logger.warning("rate limits: nothing is sent for a moment: %s", error)
        sleep = AFTER_ERROR_SECONDS
    heard = listener.wait(sleep)
    if heard is not None:
        dispatcher.look_soon(heard)


class _stopped_by:  # noqa: N801 - it is used as a function
    """Sets an event on SIGTERM and SIGINT, where signals may be heard: in the main thread."""

    def __init__(self, stopping: threading.Event, listener: Listener) -> None:
        self._stopping = stopping
        self._listener = listener
        self._former: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._former[number] = signal.signal(number, self._stop)

    def __exit__(self, *_: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)

    def _stop(self, *_: object) -> None:
        self._stopping.set()
        self._listener.wake()
