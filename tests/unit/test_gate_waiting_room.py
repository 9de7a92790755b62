"""The waiting room: lines of held requests, their turns, their pauses and their moments."""

from __future__ import annotations

import math
from typing import Any

import pytest

from celery_ratekit.limiter import Decision, Reservations
from celery_ratekit.limiter.decision import Reason
from celery_ratekit.limits import Concurrency, Limit, TokenBucket
from celery_ratekit.worker.gate.held import Held, Line, Origin
from celery_ratekit.worker.gate.waiting import (
    BUSY_PAUSE_SECONDS,
    DOUBTFUL_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    QUEUED_PAUSE_SECONDS,
    WaitingRoom,
)

A = (TokenBucket("a", "1/s"),)
B = (TokenBucket("b", "1/s"),)
C = (TokenBucket("c", "1/s"),)
LINES = Concurrency("lines", 2)
NOW = 100.0


def granted(limits: tuple[Limit, ...], *starts: float, **denial: Any) -> Reservations:
    """Starts, in seconds from now; with ``denial`` no more were granted."""
    return Reservations(
        limits, len(starts), starts_us=[round(start * 1e6) for start in starts], **denial
    )


def denied(limits: tuple[Limit, ...], seconds: float, reason: Reason = "rate") -> Reservations:
    return Reservations.denied(Decision(False, limits, seconds, limits[0], reason))


def enter(room: WaitingRoom, limits: tuple[Limit, ...], number: int = 1) -> list[Held]:
    return [room.enter(object(), limits, NOW) for _ in range(number)]


def asked(room: WaitingRoom, slots: int, now: float = NOW) -> list[tuple[Line, int]]:
    return room.share_out(slots, now)


def names(shares: list[tuple[Line, int]]) -> dict[str, int]:
    return {line.limits[0].name: count for line, count in shares}


@pytest.fixture
def room() -> WaitingRoom:
    return WaitingRoom()


# -- turns ----------------------------------------------------------------------------------------


def test_an_empty_room_asks_for_nothing_and_waits_for_no_moment(room: WaitingRoom) -> None:
    assert asked(room, 8) == []
    assert room.next_moment() is None
    assert room.is_empty
    assert len(room) == 0


def test_starts_go_to_a_line_in_the_order_of_arrival(room: WaitingRoom) -> None:
    held = enter(room, A, 3)
    ((line, count),) = asked(room, 3)

    room.answered(line, granted(A, 0, 0.1, 0.2), NOW)

    assert count == 3
    assert room.granted == held
    assert [one.due for one in held] == pytest.approx([NOW, NOW + 0.1, NOW + 0.2])


def test_slots_are_shared_out_by_turns_between_lines(room: WaitingRoom) -> None:
    enter(room, A, 5)
    enter(room, B, 1)
    enter(room, C, 5)

    assert names(asked(room, 6)) == {"a": 3, "b": 1, "c": 2}


def test_the_turn_goes_on_where_it_ended_the_last_time(room: WaitingRoom) -> None:
    for limits in (A, B, C):
        enter(room, limits, 5)
    turns = []
    for _ in range(6):
        ((line, _),) = asked(room, 1)
        turns.append(line.limits[0].name)
        room.answered(line, granted(line.limits, 0), NOW)

    assert turns == ["a", "b", "c"] * 2


def test_no_more_is_asked_for_than_there_are_slots_or_who_wait(room: WaitingRoom) -> None:
    enter(room, A, 2)

    assert asked(room, 0) == []
    assert asked(room, -3) == []
    assert names(asked(room, 1)) == {"a": 1}


def test_a_line_that_was_asked_for_in_full_is_not_asked_for_again_before_its_answer(
    room: WaitingRoom,
) -> None:
    enter(room, A, 2)
    assert names(asked(room, 5)) == {"a": 2}
    assert asked(room, 5) == []

    room.make_asked_ready()

    assert names(asked(room, 5)) == {"a": 2}


def test_due_ones_leave_in_the_order_of_their_starts(room: WaitingRoom) -> None:
    slow, quick = enter(room, A, 2), enter(room, B, 2)
    shares = dict(asked(room, 4))
    a, b = shares
    room.answered(a, granted(A, 0.2, 0.4), NOW)
    room.answered(b, granted(B, 0.1, 0.3), NOW)
    assert room.next_moment() == pytest.approx(NOW + 0.1)

    assert room.take_due(NOW + 0.05) == []
    assert room.take_due(NOW + 0.25) == [quick[0], slow[0]]
    assert room.take_due(NOW + 1, at_most=1) == [quick[1]]
    assert room.take_due(NOW + 1) == [slow[1]]
    assert len(room) == 0


def test_requests_of_one_moment_leave_in_the_order_of_arrival(room: WaitingRoom) -> None:
    first, second, third = enter(room, A)[0], enter(room, B)[0], enter(room, A)[0]
    for line, count in asked(room, 3):
        room.answered(line, granted(line.limits, *[0] * count), NOW)

    assert room.take_due(NOW) == [first, second, third]


# -- pauses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "wait_seconds", "pause_seconds"),
    [
        ("rate", 0.3, 0.3),
        ("rate", 60, LONGEST_PAUSE_SECONDS),  # the rate may be changed meanwhile
        ("frozen", 60, LONGEST_PAUSE_SECONDS),
        ("frozen", 0.2, 0.2),
        ("paused", math.inf, LONGEST_PAUSE_SECONDS),
        ("busy", 20, BUSY_PAUSE_SECONDS),  # a place may be given back at any time
        ("busy", 0.01, 0.01),
        ("queued", 0, QUEUED_PAUSE_SECONDS),
        ("queued", 9, QUEUED_PAUSE_SECONDS),
        ("unavailable", 0.1, 0.1),
        ("unavailable", 5, LONGEST_PAUSE_SECONDS),
    ],
)
def test_a_denied_line_is_asked_for_again_after_the_pause_that_its_reason_asks_for(
    room: WaitingRoom, reason: Reason, wait_seconds: float, pause_seconds: float
) -> None:
    enter(room, A)
    ((line, _),) = asked(room, 1)
    room.answered(line, denied(A, wait_seconds, reason), NOW)

    assert room.next_moment() == pytest.approx(NOW + pause_seconds)
    room.wake(NOW + pause_seconds - 1e-6)
    assert room.ready() == []
    room.wake(NOW + pause_seconds)
    assert room.ready() == [line]
    assert (line.reason, line.blocked_by) == (reason, A[0])


def test_pauses_without_redis_grow_and_begin_anew_once_it_has_answered(room: WaitingRoom) -> None:
    enter(room, A, 9)
    now, pauses = NOW, []
    for answer in [denied(A, 0.1, "unavailable")] * 6 + [granted(A, 0)]:
        ((line, _),) = asked(room, 1, now)
        room.answered(line, answer, now)
        if not answer:
            moment = room.next_moment()
            assert moment is not None
            pauses.append(round(moment - now, 6))
            now = moment
            room.wake(now)

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    ((line, _),) = asked(room, 1, now)
    room.answered(line, denied(A, 0.1, "unavailable"), now)
    assert line.ask_at - now == pytest.approx(0.1)


def test_a_denied_line_holds_up_no_other(room: WaitingRoom) -> None:
    enter(room, A, 5)
    ((line, _),) = asked(room, 5)
    room.answered(line, denied(A, 10), NOW)

    enter(room, B, 2)

    assert names(asked(room, 5)) == {"b": 2}


def test_who_comes_to_a_line_that_sleeps_waits_with_it(room: WaitingRoom) -> None:
    enter(room, A)
    ((line, _),) = asked(room, 1)
    room.answered(line, denied(A, 0.5), NOW)

    (late,) = enter(room, A)

    assert late.was_hit
    assert asked(room, 5) == []
    room.wake(NOW + 0.5)
    assert names(asked(room, 5)) == {"a": 2}


def test_part_of_a_line_may_be_granted_and_the_rest_sleeps(room: WaitingRoom) -> None:
    held = enter(room, A, 3)
    ((line, _),) = asked(room, 3)

    room.answered(line, granted(A, 0, 0.5, wait_seconds=0.25, blocked_by=A[0], reason="rate"), NOW)

    assert room.granted == held[:2]
    assert line.waiting == held[2:]
    assert room.next_moment() == NOW
    assert room.take_due(NOW) == held[:1]
    assert room.next_moment() == pytest.approx(NOW + 0.25)


def test_each_that_is_not_granted_at_once_is_told_of_once(room: WaitingRoom) -> None:
    held = enter(room, A, 3)
    ((line, _),) = asked(room, 3)

    told = room.answered(
        line, granted(A, 0, 0.5, wait_seconds=0.25, blocked_by=A[0], reason="rate"), NOW
    )
    room.wake(NOW + 0.25)
    ((line, _),) = asked(room, 3)
    again = room.answered(line, denied(A, 0.5), NOW)

    assert told == held[1:]
    assert again == []


def test_lines_that_wait_for_a_place_are_woken_when_one_comes_back(room: WaitingRoom) -> None:
    busy, other, slow = (LINES,), (LINES.with_cost(2), *A), (*B, LINES)
    for limits, reason, blocking in (
        (busy, "busy", LINES),
        (other, "busy", LINES.with_cost(2)),
        (slow, "rate", B[0]),
    ):
        enter(room, limits)
        ((line, _),) = asked(room, 1)
        answer = Reservations.denied(Decision(False, limits, 20, blocking, reason))  # type: ignore[arg-type] # a text
        room.answered(line, answer, NOW)

    room.wake_blocked_by({Concurrency("else", 2)})
    assert room.ready() == []
    room.wake_blocked_by({LINES})

    assert [line.limits for line in room.ready()] == [busy, other]


def test_a_line_that_was_woken_and_denied_again_sleeps_its_new_pause(room: WaitingRoom) -> None:
    enter(room, (LINES,))
    ((line, _),) = asked(room, 1)
    room.answered(line, denied((LINES,), 20, "busy"), NOW)
    room.wake_blocked_by({LINES})
    asked(room, 1, NOW + 0.03)
    room.answered(line, denied((LINES,), 20, "busy"), NOW + 0.03)

    room.wake(NOW + 0.05)  # when the first pause would have ended
    assert room.ready() == []
    room.wake(NOW + 0.08)

    assert room.ready() == [line]


def test_answers_one_by_one_leave_the_line_as_the_last_one_says(room: WaitingRoom) -> None:
    held = enter(room, (LINES,), 2)
    ((line, _),) = asked(room, 2)

    room.answered(line, denied((LINES,), 20, "busy"), NOW)
    room.answered(line, granted((LINES,), 0), NOW)

    assert room.take_due(NOW) == held[:1]
    assert room.ready() == [line]
    assert names(asked(room, 2)) == {"lines": 1}


# -- who comes back and who goes ------------------------------------------------------------------


def test_whose_grant_came_to_nothing_takes_its_old_place_in_line(room: WaitingRoom) -> None:
    held = enter(room, A, 3)
    ((line, _),) = asked(room, 2)
    room.answered(line, granted(A, 0, 0), NOW)
    first, second = room.take_due(NOW)

    room.put_back(second)
    room.put_back(first)

    assert sorted(line.waiting) == held
    assert all(one.decision is None for one in held)
    ((line, _),) = asked(room, 5)
    room.answered(line, granted(A, 0, 0, 0), NOW)
    assert room.take_due(NOW) == held


def test_who_comes_back_to_a_line_that_was_forgotten_stands_in_the_one_that_is_there_now(
    room: WaitingRoom,
) -> None:
    # Else requests of equal limits stood in two lines, of which only one could be found.
    slow = (TokenBucket("slow", "1/m"),)
    (late,) = enter(room, slow)
    ((line, _),) = asked(room, 1)
    room.answered(line, granted(slow, 0), NOW)
    assert room.take_due(NOW) == [late]
    assert room.ready() == []  # which forgets the line: nobody waits in it
    (newcomer,) = enter(room, slow)

    room.put_back(late)

    assert list(room) == [late, newcomer]
    ((line, count),) = asked(room, 5)
    assert count == 2
    room.answered(line, granted(slow, 0, 0), NOW)
    assert room.take_due(NOW) == [late, newcomer]


def test_the_grant_of_one_that_goes_is_the_next_ones(room: WaitingRoom) -> None:
    held = enter(room, A, 3)
    ((line, _),) = asked(room, 1)
    room.answered(line, granted(A, 0.5), NOW)
    decision = held[0].decision

    assert room.remove(held[0]) is None

    assert room.granted == [held[1]]
    assert held[1].decision is decision
    assert held[1].due == pytest.approx(NOW + 0.5)
    assert len(room) == 2


def test_the_grant_of_the_last_one_that_goes_is_returned(room: WaitingRoom) -> None:
    (held,) = enter(room, A)
    ((line, _),) = asked(room, 1)
    room.answered(line, granted(A, 0.5), NOW)
    decision = held.decision

    assert room.remove(held) is decision

    assert len(room) == 0
    assert room.next_moment() is None


def test_one_that_goes_without_a_grant_leaves_the_others_in_order(room: WaitingRoom) -> None:
    held = enter(room, A, 4)

    assert room.remove(held[1]) is None

    ((line, count),) = asked(room, 5)
    assert count == 3
    room.answered(line, granted(A, 0, 0, 0), NOW)
    assert room.take_due(NOW) == [held[0], *held[2:]]


def test_a_line_that_everybody_left_is_asked_for_nothing(room: WaitingRoom) -> None:
    for one in enter(room, A, 2):
        room.remove(one)

    assert asked(room, 5) == []
    assert room.lines == []
    assert len(room) == 0


def test_a_sleeping_line_that_everybody_left_is_asked_for_nothing_when_it_wakes(
    room: WaitingRoom,
) -> None:
    (held,) = enter(room, A)
    ((line, _),) = asked(room, 1)
    room.answered(line, denied(A, 0.5), NOW)
    room.remove(held)

    room.wake(NOW + 0.5)

    assert asked(room, 5) == []
    enter(room, A)
    assert names(asked(room, 5)) == {"a": 1}


def test_everybody_is_seen_once_granted_or_not(room: WaitingRoom) -> None:
    held = enter(room, A, 3) + enter(room, B, 1)
    line, _ = asked(room, 1)[0]
    room.answered(line, granted(A, 0.5), NOW)

    assert set(room) == set(held)
    assert len(list(room)) == len(room) == 4
    assert room.granted_count == 1
    assert [len(line.waiting) for line in room.lines] == [2, 1]


def test_who_has_been_here_for_long_without_a_grant_is_found(room: WaitingRoom) -> None:
    first = room.enter(object(), A, 10.0)
    second = room.enter(object(), A, 20.0)
    third = room.enter(object(), A, 30.0)
    ((line, _),) = asked(room, 1)
    room.answered(line, granted(A, 0.5), NOW)

    assert room.long_held(20.0) == [second]
    assert third in room.long_held(30.0)
    assert first in room.granted


def test_lines_that_nobody_uses_are_forgotten(room: WaitingRoom) -> None:
    plentiful = (TokenBucket("plenty", "10000/s"),)
    enter(room, plentiful)
    ((line, _),) = asked(room, 1)
    room.answered(line, granted(plentiful, 0), NOW)
    room.take_due(NOW)
    room.ready()
    assert not room.is_empty  # it may be used again, and knows how often

    room.forget_unused()
    room.forget_unused()

    assert room.is_empty


# -- who may wait elsewhere -----------------------------------------------------------------------


def enter_as(room: WaitingRoom, origin: Origin, number: int = 1) -> list[Held]:
    return [room.enter(object(), A, NOW, origin) for _ in range(number)]


def deny(room: WaitingRoom, now: float = NOW) -> Line:
    ((line, _),) = asked(room, 9, now)
    room.answered(line, denied(A, 0.3), now)
    return line


def test_requests_of_each_origin_stand_in_a_line_of_their_own(room: WaitingRoom) -> None:
    held = [one for origin in Origin for one in enter_as(room, origin)]

    assert len({one.line for one in held}) == len(room.lines) == len(Origin)
    assert [line.horizon_seconds > 0 for line in room.lines] == [
        line.origin not in (Origin.PARKABLE, Origin.SENT) for line in room.lines
    ]


@pytest.mark.parametrize("origin", [Origin.PARKABLE, Origin.PULLED])
def test_who_is_denied_overflows_once_for_each_denial(room: WaitingRoom, origin: Origin) -> None:
    enter_as(room, origin, 2)
    assert room.take_overflowing() == []
    line = deny(room)

    assert room.take_overflowing() == [line]
    assert room.take_overflowing() == []
    enter_as(room, origin)  # to a line that sleeps
    assert room.take_overflowing() == [line]


def test_who_is_to_wait_here_does_not_overflow(room: WaitingRoom) -> None:
    enter_as(room, Origin.HELD, 2)
    deny(room)
    enter_as(room, Origin.HELD)

    assert room.take_overflowing() == []


def test_a_line_that_was_woken_meanwhile_does_not_overflow(room: WaitingRoom) -> None:
    enter_as(room, Origin.PARKABLE)
    deny(room)
    room.wake(NOW + 0.3)

    assert room.take_overflowing() == []


def test_those_who_were_taken_over_leave_and_the_others_keep_their_places(
    room: WaitingRoom,
) -> None:
    held = enter_as(room, Origin.PARKABLE, 4)
    line = deny(room)

    room.let_go(line, {held[0], held[2]})

    assert list(room) == [held[1], held[3]]
    assert len(room) == 2


def test_who_may_wait_elsewhere_as_well_is_taken_over_before_it_is_asked_for(
    room: WaitingRoom,
) -> None:
    (held,) = enter_as(room, Origin.PARKABLE)
    line = deny(room)
    held.may_be_parked = True
    room.take_overflowing()

    room.wake(NOW + 0.3)

    assert room.ready() == []
    assert room.take_overflowing() == [line]
    assert room.next_moment() == pytest.approx(NOW + 0.3 + DOUBTFUL_PAUSE_SECONDS)
    held.may_be_parked = False
    room.wake(NOW + 0.3 + DOUBTFUL_PAUSE_SECONDS)
    assert room.ready() == [line]


def test_a_place_wakes_nobody_who_may_wait_elsewhere_as_well(room: WaitingRoom) -> None:
    held = room.enter(object(), (LINES,), NOW, Origin.PARKABLE)
    ((line, _),) = asked(room, 1)
    room.answered(line, denied((LINES,), 20, "busy"), NOW)
    held.may_be_parked = True

    room.wake_blocked_by({LINES})

    assert room.ready() == []


def test_no_starts_are_kept_for_what_may_be_pulled(room: WaitingRoom) -> None:
    plentiful = (TokenBucket("plenty", "10000/s"),)
    for _ in range(30):
        room.enter(object(), plentiful, NOW, Origin.PULLED)
    ((line, count),) = asked(room, 30)
    room.answered(line, granted(plentiful, *[0] * count), NOW + 0.01)

    assert line.stock_size == 0


def test_who_comes_after_a_promised_start_stands_in_its_line(room: WaitingRoom) -> None:
    slow = (TokenBucket("slow", "1/m"),)  # so slow that nothing is kept for those to come
    enter(room, slow)
    ((line, _),) = asked(room, 1)
    room.answered(line, granted(slow, 0.5), NOW)
    assert asked(room, 1) == []
    room.forget_unused()
    room.forget_unused()

    (held,) = enter(room, slow)

    assert held.line is line
    assert room.share_out_until_promised(1, NOW) == []
