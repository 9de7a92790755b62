"""Whatever is done to a waiting room: it holds what a plain model of it holds, and no more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.core_settings import core_settings

from celery_ratekit.limiter import Decision, Reservations
from celery_ratekit.limiter.decision import Reason
from celery_ratekit.limits import Concurrency, Limit, TokenBucket
from celery_ratekit.worker.gate.held import Held, Line, Origin
from celery_ratekit.worker.gate.waiting import LONGEST_PAUSE_SECONDS, WaitingRoom

PLENTY = TokenBucket("plenty", "1000/s", burst=50)
PLACES = Concurrency("places", 3)
CALLS: list[tuple[Limit, ...]] = [
    (TokenBucket("slow", "1/s"),),
    (TokenBucket("user", "10/s", key="a"),),
    (TokenBucket("user", "10/s", key="b"), PLACES),
    (PLACES.with_cost(2),),
    (PLENTY,),
]

# Each call has one origin here, so that a line is known by its limits.
ORIGINS = dict(
    zip(
        CALLS,
        (Origin.HELD, Origin.PARKABLE, Origin.PULLED, Origin.PARKABLE, Origin.PARKABLE),
        strict=True,
    )
)

which = st.integers(0, 10)
starts = st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.3, 1.0]), max_size=6).map(sorted)
reasons: st.SearchStrategy[Reason] = st.sampled_from(
    ["rate", "frozen", "busy", "queued", "unavailable"]
)
waits = st.sampled_from([0.0001, 0.01, 0.05, 0.5, 5.0, math.inf])


@dataclass
class Known:
    """What the model knows of one request."""

    call: tuple[Limit, ...]
    number: int
    decision: Decision | None = None


@dataclass
class Question:
    """A question that was put and has no answer yet."""

    line: Line
    count: int
    stock_size: int


class Room(RuleBasedStateMachine):
    """A room with its model: who is in it, with which grant, and which grants lie in stock."""

    @initialize()
    def begin(self) -> None:
        self.room = WaitingRoom()
        self.now = 100.0
        self.inside: dict[Held, Known] = {}
        self.gone: list[Held] = []  # with a start, and may be put back
        self.unused: set[int] = set()  # ids of decisions that were granted and not taken
        self.decisions: list[Decision] = []  # kept, so that ids stay their own
        self.arrivals = 0
        self.number_of: dict[Held, int] = {}

    # -- coming and going -------------------------------------------------------------------

    @rule(which=which)
    def comes(self, which: int) -> None:
        call = CALLS[which % len(CALLS)]
        held = self.room.enter(object(), call, self.now, ORIGINS[call])
        self._came(held, call)
        if held.decision is not None:
            self._took_from_stock(held)
        self.inside[held] = Known(call, self.number_of[held], held.decision)

    @rule(which=which)
    def passes_through(self, which: int) -> None:
        call = CALLS[which % len(CALLS)]
        waiting = [one for one in self.inside.values() if one.call == call and not one.decision]
        in_stock = sum(len(line.stock) for line in self._lines() if line.limits == call)
        held = self.room.pass_through(object(), call, self.now, ORIGINS[call])
        if held is not None:
            self._came(held, call)
            self._took_from_stock(held)
            assert held.due <= self.now
            assert in_stock > len(waiting)
            self.gone.append(held)

    def _came(self, held: Held, call: tuple[Limit, ...]) -> None:
        self.arrivals += 1
        self.number_of[held] = self.arrivals
        assert held.line.limits == call

    def _took_from_stock(self, held: Held) -> None:
        self.unused.remove(id(held.decision))

    @precondition(lambda self: self.inside)
    @rule(which=which)
    def goes(self, which: int) -> None:
        held = list(self.inside)[which % len(self.inside)]
        known = self.inside.pop(held)
        chain = self._behind(held) if known.decision else []
        starts = self._starts_of([held, *chain])
        unused = self.room.remove(held)
        if known.decision is None:
            assert unused is None
            return
        self._check_moved_up(held, chain, starts)
        assert unused is held.decision

    @precondition(lambda self: self.gone)
    @rule(which=which)
    def is_put_back(self, which: int) -> None:
        held = self.gone.pop(which % len(self.gone))
        self.room.put_back(held)
        self.inside[held] = Known(held.line.limits, self.number_of[held])

    @precondition(lambda self: self.gone)
    @rule(which=which)
    def is_succeeded(self, which: int) -> None:
        held = self.gone.pop(which % len(self.gone))
        chain = self._behind(held)
        starts = self._starts_of([held, *chain])
        successor = self.room.succeed(held)
        self._check_moved_up(held, chain, starts)
        assert successor is (chain[0] if chain else None)
        if successor is not None:
            del self.inside[successor]
            self.gone.append(successor)

    def _behind(self, held: Held) -> list[Held]:
        """Who has a later start of the same limits, and the first one that waits for any."""
        same = [one for one, known in self.inside.items() if known.call == held.line.limits]
        later = sorted(
            (
                one
                for one in same
                if self.inside[one].decision
                and (one.due, self.number_of[one]) > (held.due, self.number_of[held])
            ),
            key=lambda one: (one.due, self.number_of[one]),
        )
        waiting = [one for one in same if not self.inside[one].decision]
        return later + sorted(waiting, key=self.number_of.__getitem__)[:1]

    def _starts_of(self, chain: list[Held]) -> list[tuple[Decision | None, float]]:
        return [(one.decision, one.due) for one in chain]

    def _check_moved_up(
        self, held: Held, chain: list[Held], starts: list[tuple[Decision | None, float]]
    ) -> None:
        """Each has the start before its own, and who left has the last."""
        assert self._starts_of([*chain, held]) == starts
        for one in chain:
            self.inside[one].decision = one.decision

    # -- asking and answers -----------------------------------------------------------------

    @rule(
        slots=st.integers(-1, 8),
        starts=starts,
        reason=reasons,
        wait=waits,
        stocked=st.integers(0, 9),
    )
    def are_asked_for(
        self, slots: int, starts: list[float], reason: Reason, wait: float, stocked: int
    ) -> None:
        before = self._waiting_counts()
        granted_before = self.room.granted_count
        stock_before = {id(one): one for line in self._lines() for _, one in line.stock}
        shares = self.room.share_out(slots, self.now)
        self._see_grants_from_stock(stock_before)
        from_stock = self.room.granted_count - granted_before
        assert sum(count for _, count in shares) + from_stock <= max(0, slots)
        assert len({line for line, _ in shares}) == len(shares)
        for line, count in shares:
            assert 0 < count <= before[line.limits]
            self._answer(Question(line, count, line.stock_size), starts, reason, wait, stocked)

    def _see_grants_from_stock(self, stock: dict[int, Decision]) -> None:
        for held, known in self.inside.items():
            if known.decision is None and held.decision is not None:
                assert id(held.decision) in stock
                self._took_from_stock(held)
                known.decision = held.decision

    def _answer(
        self, asked: Question, starts: list[float], reason: Reason, wait: float, stocked: int
    ) -> None:
        line, call = asked.line, asked.line.limits
        answer = self._reservations(call, starts[: asked.count], asked.count, reason, wait)
        expected = sorted(
            (
                one
                for one, known in self.inside.items()
                if known.call == call and not known.decision
            ),
            key=self.number_of.__getitem__,
        )[: len(answer)]
        told_before = [held for held in self.inside if held.was_hit]
        told = self.room.answered(line, answer, self.now)
        assert not set(told) & set(told_before)
        for index, held in enumerate(expected):
            assert held.decision is not None
            assert held.due == self.now + answer[index]
            self.inside[held].decision = held.decision
            self.decisions.append(held.decision)
        if asked.stock_size:
            self._stock(asked, starts[:stocked], reason, wait)

    def _stock(self, asked: Question, starts: list[float], reason: Reason, wait: float) -> None:
        size = asked.stock_size
        extra = self._reservations(
            asked.line.limits, [one for one in starts if one <= 0.02][:size], size, reason, wait
        )
        before = len(asked.line.stock)
        assert self.room.stocked(asked.line, size, extra, self.now) == []
        for _, decision in list(asked.line.stock)[before:]:
            self.unused.add(id(decision))
            self.decisions.append(decision)

    def _reservations(
        self, call: tuple[Limit, ...], starts: list[float], asked: int, reason: Reason, wait: float
    ) -> Reservations:
        in_us = [round(start * 1e6) for start in starts]
        if len(starts) == asked:
            return Reservations(call, len(starts), starts_us=in_us)
        return Reservations(
            call,
            len(starts),
            starts_us=in_us,
            wait_seconds=wait,
            blocked_by=call[0],
            reason=reason,
        )

    @rule(which=which, is_told=st.booleans())
    def some_are_taken_over(self, which: int, is_told: bool) -> None:
        for line in self.room.take_overflowing():
            assert line.overflows
            waiting = sorted(line.waiting)
            taken = waiting[: which % (len(waiting) + 1)]
            for held in waiting:
                held.may_be_parked = not is_told
            if is_told:
                self.room.let_go(line, taken)
                for held in taken:
                    assert self.inside.pop(held).decision is None
        assert self.room.take_overflowing() == []

    @invariant()
    def nobody_who_may_wait_elsewhere_is_asked_for(self) -> None:
        for line in self.room.ready():
            assert not line.is_doubtful

    @rule()
    def no_answer_comes(self) -> None:
        self.room.share_out(0, self.now)
        self.room.make_asked_ready()

    @rule(which=which)
    def a_place_comes_back(self, which: int) -> None:
        self.room.wake_blocked_by({PLACES})

    # -- time -------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0001, 0.001, 0.05, 0.3, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.room.wake(self.now)
        for moment, old in self.room.take_old_stock(self.now):
            assert moment < self.now
            self.unused.remove(id(old))

    @rule(at_most=st.sampled_from([0, 1, 3, math.inf]))
    def some_are_due(self, at_most: float) -> None:
        due = self.room.take_due(self.now, at_most)
        ready = sorted(
            (
                held
                for held, known in self.inside.items()
                if known.decision and held.due <= self.now
            ),
            key=lambda held: (held.due, self.number_of[held]),
        )
        assert due == ready[: min(len(ready), round(min(at_most, 1e6)))]
        for held in due:
            assert held.decision is self.inside.pop(held).decision
        self.gone += due

    @rule()
    def lines_are_forgotten(self) -> None:
        self.room.forget_unused()

    # -- what always holds ------------------------------------------------------------------

    @invariant()
    def everybody_is_there_once_with_the_right_grant(self) -> None:
        assert len(self.room) == len(self.inside)
        seen = list(self.room)
        assert len(seen) == len(self.inside)
        assert set(seen) == set(self.inside)
        for held, known in self.inside.items():
            assert held.decision is known.decision
        decisions = [id(held.decision) for held in seen if held.decision is not None]
        assert len(set(decisions)) == len(decisions)
        assert self.room.granted_count == len(decisions)

    @invariant()
    def each_line_is_in_order_of_arrival(self) -> None:
        for call in CALLS:
            in_line = [one for one in self.room if one.line.limits == call and not one.decision]
            numbers = [self.number_of[held] for held in in_line]
            assert numbers == sorted(numbers)
            assert len({id(held.line) for held in in_line}) <= 1

    @invariant()
    def whoever_waits_is_ready_or_wakes_in_time(self) -> None:
        ready = self.room.ready()
        moment = self.room.next_moment()
        for line in self.room.lines:
            if line in ready:
                continue
            assert line.state == "asleep"
            assert moment is not None
            assert moment <= line.ask_at <= self.now + LONGEST_PAUSE_SECONDS
        for held in self.inside:
            if held.decision is not None:
                assert moment is not None
                assert moment <= held.due

    @invariant()
    def what_is_in_stock_is_what_was_not_taken(self) -> None:
        stocked = [id(decision) for line in self._lines() for _, decision in line.stock]
        assert len(set(stocked)) == len(stocked)
        assert set(stocked) == self.unused
        moment = self.room.next_moment()
        assert not stocked or moment is not None

    def _lines(self) -> list[Line]:
        return list(self.room._lines.values())

    def _waiting_counts(self) -> dict[tuple[Limit, ...], int]:
        return {line.limits: len(line.waiting) for line in self.room.lines}

    def teardown(self) -> None:
        """Enough slots and grants let everybody out, each once."""
        if not hasattr(self, "room"):
            return
        left: list[Held] = []
        for held in self.inside:
            held.may_be_parked = False  # It was found out.
        waiting = len(self.room)
        for _ in range(waiting + 2):
            self.now += LONGEST_PAUSE_SECONDS
            self.room.wake(self.now)
            for line, count in self.room.share_out(len(self.room), self.now):
                answer = Reservations(line.limits, count, starts_us=[0] * count)
                self.room.answered(line, answer, self.now)
            left += self.room.take_due(self.now)
        assert len(self.room) == 0
        assert len(left) == len(set(left)) == waiting
        assert set(left) == set(self.inside)


TestRoom = Room.TestCase
TestRoom.settings = core_settings(150)
