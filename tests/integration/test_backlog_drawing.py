"""Lines that are due, and what is claimed of them once their limits have said how much."""

from __future__ import annotations

import math

import pytest
from support.backlogs import backlog, clock, parking, user
from support.world import Clock

from celery_ratekit.backlog import Backlog, Claim, Draw, DueLine, DueLines
from celery_ratekit.backlog.ids import text
from celery_ratekit.limits import TokenBucket

__all__ = ["backlog", "clock"]

pytestmark = pytest.mark.redis


def due(backlog: Backlog, beginning: str = "api", most: int = 100) -> DueLines:
    return backlog.due_lines("q", beginning, most, 100)


def draw(
    backlog: Backlog,
    line: DueLine,
    limit: TokenBucket,
    count: int,
    *,
    wait_seconds: float | None = None,
    asked_us: int = 0,
) -> list[str]:
    (claims,) = backlog.draw("q", "w", [Draw(line, limit, count, wait_seconds, asked_us)])
    return messages(claims)


def messages(claims: list[Claim]) -> list[str]:
    return [text(one.message) for one in claims]


def test_a_line_tells_its_limit_and_how_much_waits(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}", user("a", "api/one")) for number in range(7)])
    backlog.park([parking("late", user("b", "api/two"), wait_seconds=5)])
    found = due(backlog)
    assert [(one.limit_name, one.waiting) for one in found.lines] == [("api/one", 7)]
    assert (found.is_more, found.next_due_seconds) == (False, 5)
    assert backlog.soonest("q") == 0


def test_nothing_waits_in_an_empty_backlog(backlog: Backlog) -> None:
    assert backlog.soonest("q") == math.inf
    assert due(backlog) == DueLines([], False, math.inf)


def test_so_much_is_claimed_as_was_said_and_the_line_waits_then(
    backlog: Backlog, clock: Clock
) -> None:
    backlog.park([parking(f"m{number}") for number in range(9)])
    (line,) = due(backlog).lines
    assert draw(backlog, line, user(), 3, wait_seconds=2, asked_us=clock()) == ["m0", "m1", "m2"]
    assert (due(backlog).lines, backlog.soonest("q")) == ([], 2)
    clock.step(2_000_000)
    (line,) = due(backlog).lines
    assert line.waiting == 6
    assert draw(backlog, line, user(), 2) == ["m3", "m4"]
    assert backlog.soonest("q") == 0
    sizes = backlog.sizes("q")
    assert (sizes.waiting, sizes.claimed, sizes.by_limit) == (4, 5, {"api": 4})


def test_a_line_that_was_denied_all_waits_from_then_on(backlog: Backlog, clock: Clock) -> None:
    backlog.park([parking("a", wait_seconds=1)])
    clock.step(3_000_000)
    (line,) = due(backlog).lines
    assert draw(backlog, line, user(), 0, wait_seconds=4, asked_us=clock()) == []
    assert backlog.soonest("q") == 4


def test_a_word_that_the_limit_has_room_counts_more_than_an_older_no(
    backlog: Backlog, clock: Clock
) -> None:
    backlog.park([parking("a")])
    (line,) = due(backlog).lines
    asked_us = clock()
    clock.step(1)
    backlog.wake("q", limit_name="api")
    draw(backlog, line, user(), 0, wait_seconds=60, asked_us=asked_us)
    assert backlog.soonest("q") == 0


def test_what_others_have_taken_meanwhile_is_missing(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}") for number in range(3)])
    (line,) = due(backlog).lines
    backlog.claim("q", "other", ["send"], 2)
    assert draw(backlog, line, user(), 3, wait_seconds=1) == ["m2"]
    assert draw(backlog, line, user(), 3, wait_seconds=1) == []
    assert backlog.soonest("q") == math.inf


def test_groups_of_one_line_take_turns(backlog: Backlog) -> None:
    both = user(name="api/all")
    backlog.park([parking(f"a{number}", (both, user("a", "x"))) for number in range(3)])
    backlog.park([parking(f"b{number}", (both, user("b", "x"))) for number in range(3)])
    (line,) = due(backlog).lines
    assert line.waiting == 6
    assert draw(backlog, line, both, 5) == ["a0", "b0", "a1", "b1", "a2"]


def test_lines_of_other_limits_are_neither_told_of_nor_touched(
    backlog: Backlog, clock: Clock
) -> None:
    backlog.park([parking("other", user(name="other")), parking("mine", user(name="api/one"))])
    found = due(backlog, "api/")
    assert [one.limit_name for one in found.lines] == ["api/one"]
    draw(backlog, found.lines[0], user(name="api/one"), 1)
    assert due(backlog, "api/").lines == []
    (claim,) = backlog.claim("q", "w", ["send"], 10).claims
    assert text(claim.message) == "other"


def test_a_group_in_the_line_of_another_limit_comes_into_its_own(
    backlog: Backlog, clock: Clock
) -> None:
    mine, other = user(name="api/one"), user(name="other")
    backlog.park([parking("x", other)])
    backlog.park([parking(f"m{n}", (mine, other), blocked_by=other) for n in range(3)])
    (line,) = due(backlog, "api/").lines
    assert (line.limit_name, line.waiting) == ("api/one", 3)
    assert draw(backlog, line, mine, 1, wait_seconds=9, asked_us=clock()) == ["m0"]
    assert due(backlog, "api/").lines == []
    # The other limit's line did not have to wait for that.
    (claim,) = backlog.claim("q", "w", ["send"], 10).claims
    assert text(claim.message) == "x"
    clock.step(9_000_000)
    assert [one.waiting for one in due(backlog, "api/").lines] == [2]


def test_a_clock_that_steps_back_makes_nobody_wait_for_longer(
    backlog: Backlog, clock: Clock
) -> None:
    backlog.park([parking("a", user("a", "api/one"), wait_seconds=5)])
    clock.step(-3_600_000_000)
    found = due(backlog)
    assert (found.lines, found.is_more) == ([], True)
    assert [one.limit_name for one in due(backlog).lines] == ["api/one"]


def test_more_lines_than_asked_for_are_told_to_be_there(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}", user(name=f"api/{number}")) for number in range(5)])
    found = due(backlog, most=3)
    assert ([one.limit_name for one in found.lines], found.is_more) == (
        ["api/0", "api/1", "api/2"],
        True,
    )


def test_each_task_has_its_share_of_the_lines(backlog: Backlog) -> None:
    for number in range(5):
        backlog.park([parking(f"m{number}", user(name=f"api/{number}"))])
    backlog.park([parking("other", user(name="api/x"), task="print")])
    assert "api/x" in [one.limit_name for one in due(backlog, most=4).lines]


def test_what_was_drawn_comes_back_to_its_place(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}") for number in range(4)])
    (line,) = due(backlog).lines
    assert draw(backlog, line, user(), 2) == ["m0", "m1"]
    assert backlog.give_back_all("q", "w") == 2
    assert draw(backlog, line, user(), 9) == ["m0", "m1", "m2", "m3"]


def test_a_drained_backlog_leaves_no_key(backlog: Backlog, redis_url: str) -> None:
    backlog.park([parking("a")])
    (line,) = due(backlog).lines
    (claims,) = backlog.draw("q", "w", [Draw(line, user(), 1, 1.0, 0)])
    assert backlog.finish("q", "w", [one.entry_id for one in claims]) == 1
    assert (backlog.sizes("q").waiting, backlog.soonest("q")) == (0, math.inf)
