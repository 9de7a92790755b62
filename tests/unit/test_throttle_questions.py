"""How many starts a dispatcher asks its queues for, and who gets them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from celery_ratekit.backlog import DueLine
from celery_ratekit.queues import QueuePlace, QueueRecord
from celery_ratekit.throttle.dispatch.questions import HORIZON_SECONDS, questions_for, spread


def queue(name: str, rate: str, *, is_active: bool = True) -> QueueRecord:
    place = QueuePlace("throttle", name)
    return QueueRecord(place, rate, "t", is_active=is_active, is_auto_named=False, created_us=1)


def lines(*waiting: int) -> list[DueLine]:
    return [DueLine(b"task", b"g" * 16, "throttle/q", one, 0) for one in waiting]


@pytest.mark.parametrize(
    ("rate", "waiting", "expected"),
    [
        # Its burst, and what comes within the horizon of 0.2 s.
        ("100/s", 1_000, 1 + 20),
        ("100/s:30", 1_000, 30 + 20),
        ("1/h", 1_000, 2),
        ("100/s", 7, 7),
        ("unlimited", 240, 240),
        ("0", 240, 1),
    ],
)
def test_a_queue_is_asked_for_what_it_could_let_start(
    rate: str, waiting: int, expected: int
) -> None:
    (question,), is_cut = questions_for([queue("q", rate)], {"q": lines(waiting)}, 300)
    assert (question.count, is_cut) == (expected, False)
    assert HORIZON_SECONDS == 0.2


def test_a_queue_that_is_not_active_is_asked_once_to_learn_when_to_ask_again() -> None:
    (question,), _ = questions_for([queue("q", "9/s", is_active=False)], {"q": lines(50)}, 300)
    assert question.count == 1
    assert question.limit.is_paused


def test_a_large_queue_gets_the_room_that_small_ones_leave() -> None:
    records = [queue("large", "9000/s"), queue("a", "1/s"), queue("b", "1/s")]
    waiting = {"large": lines(250), "a": lines(9), "b": lines(9)}
    questions, is_cut = questions_for(records, waiting, 100)
    counts = {one.record.place.name: one.count for one in questions}
    assert (counts, is_cut) == ({"a": 2, "b": 2, "large": 96}, True)


def test_what_finds_no_room_is_left_for_the_next_time() -> None:
    records = [queue(name, "1/s") for name in "abc"]
    questions, is_cut = questions_for(records, {name: lines(9) for name in "abc"}, 4)
    assert ([one.count for one in questions], is_cut) == ([2, 2], True)


@pytest.mark.parametrize(
    ("count", "waiting", "expected"),
    [
        (0, [3, 3], [0, 0]),
        (1, [3, 3], [1, 0]),  # the line whose turn it is
        (5, [9, 9], [3, 2]),
        (8, [10, 1], [7, 1]),
        (9, [2, 2], [2, 2]),
        (7, [1, 5, 2], [1, 4, 2]),
    ],
)
def test_lines_of_one_queue_share_what_it_lets_start(
    count: int, waiting: Sequence[int], expected: Sequence[int]
) -> None:
    assert spread(count, lines(*waiting)) == expected
