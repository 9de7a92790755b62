"""Who comes when: first come first served inside a group, round robin between groups and lines."""

from __future__ import annotations

import math

import pytest
from support.backlogs import backlog, clock, messages, parking, user
from support.world import Clock

from celery_ratekit.backlog import Backlog, Group, Return
from celery_ratekit.limits import Concurrency

__all__ = ["backlog", "clock"]

pytestmark = pytest.mark.redis


def claim(backlog: Backlog, count: int = 100, within_seconds: float = 0) -> list[str]:
    return messages(backlog.claim("q", "w", ["send"], count, within_seconds=within_seconds))


def test_who_came_first_is_served_first(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}") for number in range(30)])
    assert claim(backlog, 10) + claim(backlog) == [f"m{number}" for number in range(30)]


def test_a_lower_rank_comes_first_inside_its_group_only(backlog: Backlog) -> None:
    backlog.park(
        [
            parking("a late", user("a"), rank=9),
            parking("b", user("b"), rank=9),
            parking("a soon", user("a"), rank=0),
            parking("a later", user("a"), rank=255),
        ]
    )
    assert claim(backlog) == ["a soon", "b", "a late", "a later"]


def test_groups_take_turns_however_many_wait_in_them(backlog: Backlog) -> None:
    backlog.park([parking(f"a{number}", user("a")) for number in range(150)])
    backlog.park([parking(f"b{number}", user("b")) for number in range(3)])
    assert claim(backlog, 6) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert claim(backlog, 2) == ["a3", "a4"]


def test_groups_in_one_line_take_turns(backlog: Backlog) -> None:
    both = user(name="all")
    backlog.park([parking(f"a{number}", (both, user("a"))) for number in range(3)])
    backlog.park([parking(f"b{number}", (both, user("b"))) for number in range(3)])
    assert claim(backlog, 5) == ["a0", "b0", "a1", "b1", "a2"]


def test_turns_go_on_while_the_clock_stands_or_steps_back(backlog: Backlog, clock: Clock) -> None:
    for key in "abc":
        backlog.park([parking(f"{key}{number}", user(key)) for number in range(4)])
    assert claim(backlog, 2) == ["a0", "b0"]
    assert claim(backlog, 2) == ["c0", "a1"]
    clock.step(-3_600_000_000)
    assert claim(backlog, 4) == ["b1", "c1", "a2", "b2"]


def test_a_line_that_waits_is_due_exactly_when_it_was_said(backlog: Backlog, clock: Clock) -> None:
    backlog.park([parking("a", user("a"), wait_seconds=2), parking("b", user("b"), wait_seconds=1)])
    assert backlog.next_due(["q"], ["send"]) == 1
    clock.step(999_999)
    claimed = backlog.claim("q", "w", ["send"], 10)
    assert (messages(claimed), claimed.next_due_seconds) == ([], 0.000001)
    clock.step(1)
    assert backlog.next_due(["q"], ["send"]) == 0
    assert claim(backlog) == ["b"]
    clock.step(1_000_000)
    claimed = backlog.claim("q", "w", ["send"], 10)
    assert (messages(claimed), claimed.next_due_seconds) == (["a"], math.inf)


def test_lines_due_soon_come_after_those_that_are_ready(backlog: Backlog) -> None:
    backlog.park(
        [
            parking("later", user("a"), wait_seconds=3),
            parking("soon", user("b"), wait_seconds=0.5),
            parking("now", user("c")),
            parking("sooner", user("d"), wait_seconds=0.25),
        ]
    )
    assert claim(backlog, within_seconds=1) == ["now", "sooner", "soon"]


def test_an_infinite_wait_lasts_a_day(backlog: Backlog) -> None:
    backlog.park([parking("a", wait_seconds=math.inf)])
    assert backlog.next_due(["q"], ["send"]) == 86_400


def test_only_known_tasks_are_claimed(backlog: Backlog) -> None:
    backlog.park([parking("a", task="new"), parking("b")])
    assert backlog.next_due(["q"], ["other"]) == math.inf
    assert claim(backlog) == ["b"]
    assert messages(backlog.claim("q", "w", ["other", "new"], 9)) == ["a"]


def test_what_is_given_back_keeps_its_place(backlog: Backlog) -> None:
    backlog.park([parking(f"a{number}", user("a")) for number in range(4)])
    backlog.park([parking(f"b{number}", user("b")) for number in range(2)])
    claims = backlog.claim("q", "w", ["send"], 3).claims  # a0, b0, a1
    backlog.give_back("w", [Return(one) for one in reversed(claims)])
    assert claim(backlog) == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_what_a_limit_denied_moves_into_the_line_of_that_limit(
    backlog: Backlog, clock: Clock
) -> None:
    first, second = user(name="first"), user(name="second")
    backlog.park([parking(f"m{number}", (first, second)) for number in range(3)])
    (one,) = backlog.claim("q", "w", ["send"], 1).claims
    assert one.line_id == backlog.line_id(first)
    backlog.give_back("w", [Return(one, second, 4)])
    assert claim(backlog) == []
    assert backlog.next_due(["q"], ["send"]) == 4
    clock.step(4_000_000)
    claims = backlog.claim("q", "w", ["send"], 3).claims
    assert [one.message for one in claims] == [b"m0", b"m1", b"m2"]
    assert {one.line_id for one in claims} == {backlog.line_id(second)}
    assert [one.is_last for one in claims] == [False, False, True]


def test_of_several_denials_the_shortest_wait_counts(backlog: Backlog) -> None:
    backlog.park([parking(f"m{number}") for number in range(3)])
    claims = backlog.claim("q", "w", ["send"], 3).claims
    waits = zip(claims, [7, 2, 5], strict=True)
    backlog.give_back("w", [Return(one, user(), wait) for one, wait in waits])
    assert backlog.next_due(["q"], ["send"]) == 2


def test_limits_that_were_worked_out_anew_make_another_group(backlog: Backlog) -> None:
    backlog.park([parking("old"), parking("older"), parking("b", user(name="new"))])
    (claim_of_old, *_) = backlog.claim("q", "w", ["send"], 1).claims
    group = Group("q", "send", (user(name="new"),))
    backlog.give_back("w", [Return(claim_of_old, user(name="new"), 0, group)])
    sizes = backlog.sizes("q")
    assert sizes.by_limit == {"api": 1, "new": 2}
    assert claim(backlog) == ["old", "older", "b"]


def test_a_place_that_came_back_wakes_its_line(backlog: Backlog) -> None:
    places, other = Concurrency("places", 2), Concurrency("places", 2, key="other")
    backlog.park([parking("a", places, wait_seconds=math.inf)])
    backlog.park([parking("b", other, wait_seconds=math.inf)])
    claimed = backlog.claim("q", "w", ["send"], 9, freed=[places])
    assert (messages(claimed), claimed.next_due_seconds) == (["a"], 86_400)


def test_a_place_that_came_back_before_the_denial_was_written_is_not_lost(
    backlog: Backlog, clock: Clock
) -> None:
    places = Concurrency("places", 1)
    backlog.park([parking("a", places)])
    (one,) = backlog.claim("q", "w", ["send"], 1).claims
    clock.step(10)
    # While this worker asks the limiter, another's task ends and finds nobody to wake.
    assert messages(backlog.claim("q", "w2", ["send"], 1, freed=[places])) == []
    clock.step(10)
    backlog.give_back("w", [Return(one, places, math.inf)])
    (one,) = backlog.claim("q", "w", ["send"], 1).claims
    clock.step(10)
    backlog.give_back("w", [Return(one, places, math.inf)])
    assert claim(backlog) == []


def test_many_places_that_come_back_are_not_remembered_one_by_one(
    backlog: Backlog, clock: Clock
) -> None:
    backlog.park([parking("a", Concurrency("places", 1))])
    (one,) = backlog.claim("q", "w", ["send"], 1).claims
    clock.step(1)
    freed = [Concurrency("places", 1, key=number) for number in range(200)]
    backlog.claim("q", "w2", ["send"], 1, freed=freed)
    backlog.give_back("w", [Return(one, Concurrency("places", 1), math.inf)])
    assert claim(backlog) == ["a"]


def test_lines_are_woken_by_name(backlog: Backlog) -> None:
    backlog.park([parking(f"a{key}", user(str(key)), wait_seconds=60) for key in range(700)])
    backlog.park([parking("b", user(name="other"), wait_seconds=60)])
    assert backlog.wake("q", limit_name="api") == 700
    assert len(claim(backlog, 1_000)) == 700
    assert backlog.wake("q") == 1
    assert claim(backlog) == ["b"]
    assert backlog.wake("q") == backlog.wake("nowhere") == 0


def test_a_clock_that_steps_back_lets_nobody_wait_longer(backlog: Backlog, clock: Clock) -> None:
    backlog.park([parking("a", user("a"), wait_seconds=1), parking("b", user("b"))])
    clock.step(-3_600_000_000)
    assert claim(backlog, 1) == ["b"]
    assert claim(backlog) == ["a"]


def test_a_claim_is_bounded_by_count_and_by_bytes(backlog: Backlog) -> None:
    backlog.park([parking(f"{number}:" + "x" * 1_500_000) for number in range(5)])
    claimed = backlog.claim("q", "w", ["send"], 100)
    assert len(claimed.claims) == 3
    assert claimed.next_due_seconds == 0
    assert backlog.claim("q", "w", ["send"], 0).claims == []
    assert len(claim(backlog)) == 2
