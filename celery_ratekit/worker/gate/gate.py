"""The gate: each received task passes it before the pool, and starts when its limits let it.

A turn of the gate takes in what arrived, asks the limiter for as many starts as there are slots
that could take them, starts what is due, and sets one alarm for the next moment that matters.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from celery.utils.log import get_logger

from ...limiter import Decision
from ...limits import Limit
from ...signals import rate_limit_admitted
from ...tasks.admission import LATE_SECONDS
from ...tasks.limit_book import CallLimits
from ..observing.started import Started
from ..observing.telling import tell_counted, tell_start
from .alarm import Alarm
from .apart import Apart, at_once
from .asking import Asking
from .demand import SOON_SECONDS, Demand
from .held import HORIZON_SECONDS, Held, Line, Origin
from .overflow import Overflow
from .pool_memory import PoolMemory
from .pump import BUSY, Pump
from .requests import forget, is_revoked, put_aside, take_up
from .running import Running
from .slots import Slots
from .waiting import WaitingRoom

__all__ = ["Gate"]

SWEEP_SECONDS = 1.0
"""How often those who wait are looked through for tasks that were revoked or have expired."""

AFTER_ERROR_SECONDS = 1.0

GATHER_SECONDS = 0.005
"""How long requests that cannot start wait for others to be parked along with them: some brokers
deliver one at a time, and storing one takes as long as storing many."""

CLOSE_SECONDS = 5.0
"""How long to wait for the end of a turn in another thread: longer than Redis' time-out."""

logger = get_logger(__name__)


class Gate:
    """Holds back the requests of one consumer until slot and limits let them start.

    - ``longest_hold_seconds``: who waits for longer goes to ``resend``, with a function that takes
      back who cannot be sent.
    - ``memory``: what the pool still knows of its tasks once the consumer closes.
    - ``soon``: runs a function in the worker's loop once it is idle.
    - ``apart``: calls a function outside of the pool.
    - ``clock``: monotonic, seconds.
    """

    def __init__(
        self,
        *,
        asking: Asking,
        slots: Slots,
        overflow: Overflow,
        memory: PoolMemory,
        longest_hold_seconds: float,
        resend: Callable[[list[Held], Callable[[Held], None]], None],
        make_alarm: Callable[[Callable[[], None]], Alarm],
        soon: Callable[[Callable[[], None]], object],
        apart: Apart = at_once,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.room = WaitingRoom()
        self.started = Started()
        self._asking = asking
        self._slots = slots
        self._running = Running(asking, slots, memory, self._one_ended, clock, apart=apart)
        self._demand = Demand(slots, self._running, clock)
        self._overflow = overflow
        self._memory = memory
        self._longest_hold_seconds = longest_hold_seconds
        self._resend = resend
        self._soon = soon
        self._clock = clock
        self._pump = Pump(self._turn)
        self._alarm = make_alarm(self._pump.poke)
        self._arrived: deque[tuple[Any, CallLimits, Origin]] = deque()
        self._queuing: set[Held] = set()  # who waits for a slot, and has its start
        self._offered: deque[Held | Line | Overflow] = deque()  # who was given a slot
        self._overflow_tickets = 0  # how often it queues for a slot, as a line does
        self._next_sweep = 0.0
        self._rings_at = math.inf
        self._turn_is_due = False
        self._denials_are_old = False
        self._is_open = True

    # -- from outside -----------------------------------------------------------------------

    @property
    def idle_slots(self) -> int:
        """How many more tasks the pool could run now."""
        return self._slots.idle

    @property
    def slot_count(self) -> int:
        """How many tasks the pool runs at a time."""
        return self._slots.size

    @property
    def backlog(self) -> dict[str, Any]:
        """What waits in the backlog of the worker's queues, as plain data; asks Redis."""
        return self._overflow.shown()

    @property
    def watches_all(self) -> bool:
        """Whether tasks without a limit have to pass the gate as well."""
        return self._slots.watches_all

    def is_pulled(self, request: Any) -> bool:
        """Whether a request comes from the backlog, and so waited there until now."""
        return self._overflow.is_pulled(request)

    def pass_on(self, request: Any) -> None:
        """Starts a request without a limit when a slot is its own."""
        self._running.watch(request)
        self._slots.queue(self._running.run, request)

    def enter(self, request: Any, limits: CallLimits) -> None:
        """Takes in a request that has limits; it queues for a slot where a start is in stock."""
        origin = self._overflow.origin_of(request)
        held = self._pump.run_between(
            self.room.pass_through, request, limits.enforced, self._clock(), origin
        )
        if isinstance(held, Held):
            held.shadow = limits.shadow
            self._queue(held, self._given_slot)
            if held.line.is_low_on_stock:
                self._turn_soon()
        else:
            self._take_aside(request, limits, origin)

    def enter_granted(
        self, request: Any, limits: CallLimits, decision: Decision, age_seconds: float
    ) -> None:
        """Takes in a request that was granted its start ``age_seconds`` before it came.

        Where that is too long ago once it has a slot, it is asked for anew.
        """
        now = self._clock()
        due = now - age_seconds
        may_be_parked = self._overflow.origin_of(request) is Origin.PARKABLE
        origin = Origin.SENT if may_be_parked else Origin.HELD
        held = self._pump.run_between(
            self.room.pass_granted, request, limits.enforced, now, origin, due, decision
        )
        if isinstance(held, Held):
            held.shadow = limits.shadow
            self._queue(held, self._given_slot)
        else:
            self._asking.give_back([(due, decision)])
            self._take_aside(request, limits, origin)

    def _take_back(self, held: Held) -> None:
        """Holds a request again that could not be sent."""
        limits = CallLimits(held.line.limits, held.shadow)
        self._take_aside(held.request, limits, held.line.origin)

    def _take_aside(self, request: Any, limits: CallLimits, origin: Origin) -> None:
        put_aside(request)
        self._arrived.append((request, limits, origin))
        if origin is Origin.PARKABLE and self._may_gather(limits.enforced):
            self._turn_by(self._clock() + GATHER_SECONDS)
        else:
            self._turn_soon()

    def _may_gather(self, limits: tuple[Limit, ...]) -> bool:
        """Whether a request cannot start now, and more may come that are parked along with it."""
        if not self._is_open or not self.room.is_denied(limits, Origin.PARKABLE, self._clock()):
            return False
        return self._overflow.expects_more(len(self._arrived) + len(self.room))

    def close(self) -> None:
        """Lets go of all that wait: the broker delivers them again. What runs goes on."""
        self._is_open = False
        self._ring_at(None)
        self._pump.run_after(self._let_go, CLOSE_SECONDS)

    def _let_go(self) -> None:
        room, self.room = self.room, WaitingRoom()
        held = [*room, *self._queuing, *(one for one in self._offered if isinstance(one, Held))]
        for request in [one.request for one in held] + [one for one, _, _ in self._arrived]:
            forget(request)
        self._queuing.clear()
        self._overflow_tickets = 0
        self._offered.clear()
        self._arrived.clear()
        self._slots.clear()
        unused = room.take_stock()
        unused += [(one.due, one.decision) for one in held if one.decision is not None]
        if self._memory.drops_unbegun:
            # Their moment was now: they were on their way to the pool.
            unused += [(self._clock(), decision) for decision in self._running.take_unbegun()]
        self._memory.restore()
        self._overflow.close()
        self._asking.give_back(unused)

    def open(self) -> None:
        """Begins anew, after `close`."""
        self._turn_is_due = False  # What the loop had to do is forgotten with the connection.
        self._is_open = True
        self._overflow.open()
        self._turn_soon()

    def abandon(self) -> None:
        """Gives back the places of tasks that nobody will hear of any more."""
        self._running.abandon()
        self._overflow.abandon()

    def revoke(self, task_ids: Sequence[str]) -> None:
        """Lets go of these tasks wherever they wait; the consumer knows that they are revoked."""
        self._overflow.revoke(task_ids)

    def poke(self) -> None:
        """Has a turn taken soon, for something that the gate cannot know of."""
        self._turn_soon()

    def forget_denials(self) -> None:
        """Has the next turn ask for all who were denied: their limits may say something else now.

        May be called from any thread.
        """
        self._denials_are_old = True

    # -- turns ------------------------------------------------------------------------------

    def _turn_soon(self) -> None:
        """A turn when the loop has read what is there; at once where no loop runs any more."""
        if not self._is_open:
            self._pump.poke()
        elif not self._turn_is_due:
            self._turn_is_due = True
            self._soon(self._pump.poke)

    def _turn_by(self, moment: float) -> None:
        """A turn at a moment, if none comes before."""
        if moment < self._rings_at:
            self._ring_at(moment)

    def _ring_at(self, moment: float | None) -> None:
        self._rings_at = math.inf if moment is None else moment
        self._alarm.set(moment)

    def _turn(self) -> None:
        self._turn_is_due = False
        try:
            freed = self._running.release_ended()
            self.room.wake_blocked_by(freed)
            self._overflow.settle(freed)
            if self._is_open:
                self._take_turn()
        except Exception:
            # An exception that left the gate would end the worker.
            logger.exception("rate limits: a turn of the gate failed, the next is in a second")
            self.room.make_asked_ready()
            self._ring_at(self._clock() + AFTER_ERROR_SECONDS)

    def _take_turn(self) -> None:
        now = self._clock()
        if self._denials_are_old:
            self._denials_are_old = False
            self.room.make_denied_ready()
        self._take_in(now)
        self._overflow.look()
        self._sweep(now)
        self.room.wake(now)
        self._drop_late(now)
        self._asking.restock(self.room)
        self._asking.give_back(self.room.take_old_stock(now))
        self._use_offered_slots()
        self._use_idle_slots()
        self._queue_for_slots()
        self._spill()
        self._ring_at(self._next_moment())
        if self._arrived:
            self._turn_soon()  # They came after all were taken in, and may have set the alarm.

    def _next_moment(self) -> float | None:
        sweep = None if self.room.is_empty else self._next_sweep
        moments = (self.room.next_moment(), self._overflow.next_moment(), sweep)
        return min((moment for moment in moments if moment is not None), default=None)

    def _take_in(self, now: float) -> None:
        while self._arrived:
            request, limits, origin = self._arrived.popleft()
            if not limits.enforced:
                self._start_counted(request, limits.shadow)
                continue
            held = self.room.enter(request, limits.enforced, now, origin)
            held.shadow = limits.shadow
            if origin is Origin.PULLED:
                self._overflow.came_back(held)
            elif held.was_hit:
                self._asking.tell_hits([held])

    def _start_counted(self, request: Any, shadow: tuple[Limit, ...]) -> None:
        """Starts a request whose limits only count."""
        self._running.count(request, shadow)
        tell_counted(request, shadow)
        self._running.let_pass(request, self._clock())
        self.pass_on(request)

    def _sweep(self, now: float) -> None:
        """Lets go of tasks that were revoked or have expired; their tokens go to the next."""
        if now < self._next_sweep or self.room.is_empty:
            return
        self._next_sweep = now + SWEEP_SECONDS
        self.room.forget_unused()
        revoked = [held for held in self.room if is_revoked(held.request)]
        unused = [(self.room.remove(held), held.due) for held in revoked]
        self._asking.give_back([(due, one) for one, due in unused if one is not None])
        if long_held := self.room.long_held(now - self._longest_hold_seconds):
            for held in long_held:
                self.room.remove(held)
            self._resend(long_held, self._take_back)

    def _drop_late(self, now: float) -> None:
        """Asks anew for starts that passed while the loop stood still, before others are asked."""
        if late := self.room.take_due(now - LATE_SECONDS):
            self._ask_anew(late)

    # -- slots ------------------------------------------------------------------------------

    def _use_offered_slots(self) -> None:
        """Starts tasks in the slots that those who queued were given, or gives these back."""
        slots = 0
        late = []
        pulled = 0
        while self._offered:
            one = self._offered.popleft()
            if isinstance(one, Held):
                is_late = self._clock() - one.due > LATE_SECONDS
                late += [one] if is_late else []
                slots += is_late or not self._start(one)
                continue
            slots += 1
            if isinstance(one, Line):
                one.tickets -= 1
            else:
                self._overflow_tickets = max(0, self._overflow_tickets - 1)
                pulled += 1
        try:
            if late:
                self._ask_anew(late)
            self._pull(pulled)
            if slots:
                self._ask_for(slots)
            for held in self.room.take_due(self._clock(), slots):
                slots -= self._start(held)
        finally:
            for _ in range(slots):
                self._slots.release()

    def _use_idle_slots(self) -> None:
        """Reserves starts for slots that are idle, and queues for one with what is due."""
        self._queue_due()
        self._ask_for(self._slots.idle - len(self._offered))
        slots = self._slots.idle - len(self._offered)
        if self._pull(self._demand.to_pull(self.room, slots)):
            self._ask_for(self._slots.idle - len(self._offered))
        self._queue_due()

    def _pull(self, count: int) -> int:
        """Takes in what waited elsewhere and may start now; how many."""
        if count <= 0:
            return 0
        pulled = self._overflow.pull(count)
        if pulled:
            self._take_in(self._clock())
        return pulled

    def _spill(self) -> None:
        """Lets those wait elsewhere who were denied and need not wait here."""
        for line in self.room.take_overflowing():
            self.room.let_go(line, self._overflow.take(line, self._clock()))

    def _queue_due(self) -> None:
        for held in self.room.take_due(self._clock()):
            self._take_up(held)
            self._queue(held, self._offer)

    def _queue_for_slots(self) -> None:
        """While no slot is idle, queues for one with all that could start for all we know."""
        if self._slots.idle > 0:
            return
        # A line with a later start would not be asked for, and would queue again and again.
        for line in self.room.ready_without_promise():
            # Who was denied lately is likely to be again: one at a time is enough to find out.
            wanted = 1 if line.denials else len(line.waiting)
            for _ in range(wanted - line.tickets):
                line.tickets += 1
                self._slots.queue(self._offer, line)
        if self._overflow.is_due:
            for _ in range(self._slots.size - self._overflow_tickets):
                self._overflow_tickets += 1
                self._slots.queue(self._offer, self._overflow)

    def _queue(self, held: Held, waiter: Callable[[Held], None]) -> None:
        """Calls ``waiter`` once a granted task has a slot, unless the gate was closed meanwhile."""
        self._queuing.add(held)
        self._slots.queue(self._leave_queue, held, waiter)

    def _leave_queue(self, held: Held, waiter: Callable[[Held], None]) -> None:
        if held in self._queuing:
            self._queuing.discard(held)
            waiter(held)
        else:
            self._slots.release()

    def _given_slot(self, held: Held) -> None:
        """Starts a granted task in the slot that it was given, without a turn if none runs."""
        is_late = self._clock() - held.due > LATE_SECONDS
        started = BUSY if is_late else self._pump.run_between(self._start, held)
        if started is BUSY:
            self._offer(held)
        elif not started:
            self._slots.release()

    def _offer(self, one: Held | Line | Overflow) -> None:
        self._offered.append(one)
        self._pump.poke()

    def _ask_for(self, slots: int) -> None:
        """Asks for as many starts as there are slots to use, ahead where none is promised yet."""
        room, demand = self.room, self._demand
        promised = demand.at_once(room, slots)
        self._ask(room.share_out(demand.ahead(room, slots), self._clock()), HORIZON_SECONDS)
        self._ask(room.share_out(demand.soon(room, slots), self._clock()), SOON_SECONDS)
        self._ask(room.share_out_until_promised(promised, self._clock()), 0)

    def _ask(self, shares: list[tuple[Line, int]], horizon_seconds: float) -> None:
        if shares:
            self._asking.ask(self.room, shares, horizon_seconds)

    def _ask_anew(self, late: list[Held]) -> None:
        """Gives back grants whose moment has passed, and puts their tasks back in line."""
        unused = [(held.due, held.decision) for held in late if held.decision is not None]
        self._asking.give_back(unused)
        for held in late:
            put_aside(held.request)
            held.is_aside = True
            self.room.put_back(held)

    # -- starts and ends --------------------------------------------------------------------

    def _start(self, held: Held) -> bool:
        """Starts a granted task in a slot; False where nobody of its line took the slot."""
        while is_revoked(held.request):
            successor = self.room.succeed(held)
            if held.decision is not None:
                self._asking.give_back([(held.due, held.decision)])
            if successor is None:
                return False
            held = successor
        assert held.decision is not None  # Only what was granted comes here.
        self._take_up(held)
        now = self._clock()
        self.started.count(held.line.limits, max(0.0, now - max(held.due, held.since)))
        if rate_limit_admitted.receivers:
            tell_start(held, now)
        self._running.start(held.request, held.decision, held.due, held.shadow)
        return True

    @staticmethod
    def _take_up(held: Held) -> None:
        if held.is_aside:
            take_up(held.request)
            held.is_aside = False

    def _one_ended(self, gives_places_back: bool) -> None:
        # Where others queue for its slot, whoever waits here without a start does so too.
        if gives_places_back or (len(self.room) and self._slots.idle > 0):
            self._turn_soon()
