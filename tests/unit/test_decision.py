"""Answers: what they say in a condition, as a list, and to HTTP."""

from __future__ import annotations

import math

import pytest

from celery_ratekit.limiter.decision import Decision, Reservations
from celery_ratekit.limits import TokenBucket

LIMIT = TokenBucket("stripe", "3/s")
ASKED = 1_800_000_000_000_000


def test_a_decision_is_true_where_it_was_granted() -> None:
    assert Decision(True, (LIMIT,))
    assert not Decision(False, (LIMIT,), 1.0, LIMIT, "rate")


@pytest.mark.parametrize(
    ("wait", "seconds"), [(0, 0), (0.000001, 1), (1, 1), (59.2, 60), (math.inf, None)]
)
def test_retry_after_is_in_whole_seconds_and_never_too_early(
    wait: float, seconds: int | None
) -> None:
    assert Decision(False, (LIMIT,), wait, LIMIT, "rate").retry_after == seconds


def test_a_decision_says_what_it_is() -> None:
    assert "granted, starts in 0.5" in repr(Decision(True, (LIMIT,), 0.5))
    assert "'stripe' rate, ask in 2.0" in repr(Decision(False, (LIMIT,), 2.0, LIMIT, "rate"))
    assert "'Redis' unavailable" in repr(Decision(False, (LIMIT,), 2.0, None, "unavailable"))


def test_a_start_is_told_by_the_clock_of_redis() -> None:
    assert Decision(True, (LIMIT,), start_us=1_500_000).starts_at == 1.5


def progression() -> Reservations:
    return Reservations(
        (LIMIT,), 4, first_us=-500_000.0, step_us=1e6 / 3, asked_us=ASKED, wait_seconds=0.8
    )


def test_a_progression_of_starts_is_rounded_up_and_never_before_now() -> None:
    # -0.5 s, -0.1667 s, 0.1667 s, 0.5 s
    starts = [progression().start_us(index) for index in range(4)]
    assert starts == [0, 0, 166_667, 500_000]


def test_reservations_are_a_sequence_of_seconds() -> None:
    reserved = progression()
    assert len(reserved) == 4
    assert list(reserved) == [0, 0, 0.166667, 0.5]
    assert (reserved[2], reserved[-1]) == (0.166667, 0.5)
    assert reserved[1:3] == [0, 0.166667]
    assert reserved[::-1] == [0.5, 0.166667, 0, 0]
    assert 0.5 in reserved
    with pytest.raises(IndexError):
        reserved[4]
    assert "4 granted" in repr(reserved)


def test_each_reserved_start_is_a_decision_of_its_own() -> None:
    decision = progression().decision(-2)
    assert decision
    assert (decision.start_us, decision.asked_us) == (ASKED + 166_667, ASKED)
    assert decision.wait_seconds == 0.166667
    with pytest.raises(IndexError):
        progression().decision(4)


def test_a_step_that_rounds_badly_does_not_put_a_start_a_microsecond_late() -> None:
    tenth = Reservations((LIMIT,), 11, first_us=0.0, step_us=0.1, asked_us=ASKED)
    assert tenth.start_us(10) == 1


def test_a_denial_is_a_sequence_of_what_was_granted_before_it() -> None:
    denied = Decision(False, (LIMIT,), 2.0, LIMIT, "rate")
    reserved = Reservations.denied(denied, after=[Decision(True, (LIMIT,))] * 2)
    assert (list(reserved), reserved.wait_seconds, reserved.reason) == ([0, 0], 2.0, "rate")
    assert not Reservations.denied(denied)
