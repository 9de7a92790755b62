from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_ratekit.demo.figures import (
    figures_of,
    fits_limit,
    most_in_window,
    percentile,
    reached_per_second,
    share_of_limit,
)
from celery_ratekit.demo.journal import Start
from celery_ratekit.demo.plan import Plan
from celery_ratekit.demo.progress import Progress
from celery_ratekit.demo.report import complaints, rows, waiting_text
from celery_ratekit.rates import Rate

# A power of two between grants keeps every sum of floats exact.
PLAN = Plan(
    rate=Rate.parse("4/s"),
    burst=1,
    arrivals=Rate.parse("8/s"),
    tasks=9,
    workers=2,
    concurrency=4,
    gate=True,
)
EVEN = [1_000 + number / 4 for number in range(9)]

moments = st.lists(st.floats(0, 5), max_size=60).map(sorted)


def starts_at(granted: list[float], lateness: float = 0.0) -> list[Start]:
    return [Start(number, at + lateness, at, 0) for number, at in enumerate(granted)]


def test_the_reached_rate_counts_intervals_from_first_to_last_start() -> None:
    assert reached_per_second(EVEN) == 4.0


@pytest.mark.parametrize("few", [[], [1.0]])
def test_no_rate_is_reached_with_fewer_than_two_starts(few: list[float]) -> None:
    assert reached_per_second(few) == 0.0


def test_a_run_as_fast_as_allowed_used_the_whole_limit() -> None:
    assert share_of_limit(EVEN, 4, 1) == 1.0
    # With a burst of 3: three at once, then one each quarter of a second.
    assert share_of_limit([0, 0, 0, 0.25, 0.5], 4, 3) == 1.0


def test_a_pause_of_a_second_in_two_uses_two_thirds_of_the_limit() -> None:
    assert share_of_limit([at + (1 if at > 1_001 else 0) for at in EVEN], 4, 1) == 2 / 3


def test_a_burst_at_the_start_is_no_merit() -> None:
    assert share_of_limit([0, 0, 0, 0.5, 1.0], 4, 3) == 0.5


def test_a_window_holds_both_of_its_ends() -> None:
    assert most_in_window(EVEN) == 5  # Burst + rate: 0, 1/4, 2/4, 3/4 and 1.


@given(moments)
def test_the_worst_window_is_the_one_that_a_plain_count_finds(times: list[float]) -> None:
    plain = max((sum(0 <= at - one <= 1 for at in times) for one in times), default=0)
    assert most_in_window(times) == plain


def test_late_starts_that_crowd_together_keep_the_limit_that_their_grants_kept() -> None:
    crowded = [Start(number, 1_002, at, 0) for number, at in enumerate(EVEN)]
    figures = figures_of(crowded, PLAN, resent=8)
    assert (figures.worst_window, figures.worst_granted_window) == (9, 5)
    assert figures.keeps_limit


def test_one_grant_too_many_in_a_second_breaks_the_limit() -> None:
    assert fits_limit(EVEN, 4, 1)
    assert not fits_limit(sorted([*EVEN, EVEN[3]]), 4, 1)


def test_grants_that_rounding_brought_into_one_second_keep_the_limit() -> None:
    # At 2.999999/s the fourth start is granted 1.0000003 s after the first.
    granted = [0.000_001, 0.333_334, 0.666_668, 1.000_001]
    assert fits_limit(granted, 2.999_999, 1)
    assert not fits_limit(granted, 2.9, 1)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_there(share: float, expected: float) -> None:
    assert percentile([float(one) for one in range(1, 101)], share) == expected


def test_no_percentile_of_nothing() -> None:
    assert percentile([], 0.99) == 0.0


def test_a_start_survives_its_line_exactly() -> None:
    start = Start(7, 1_732_171_234.123_456_7, 1_732_171_234.122_222, 2)
    assert Start.of_line(start.line()) == start


def test_a_good_run_has_no_complaints_and_its_figures_in_the_table() -> None:
    figures = figures_of(starts_at(EVEN, lateness=0.0125), PLAN, resent=8)
    assert complaints(figures, PLAN) == []
    table = {name: (value, remark) for name, value, remark in rows(figures, PLAN)}
    assert table["allowed"] == ("4/s, burst 1", "")
    assert table["reached"] == ("4.00/s", "100.0% of the limit")
    assert table["worst one-second window"] == ("5 starts", "5 granted, 5 allowed")
    assert table["lateness p99"][0] == "12.5 ms"
    assert table["retries spent"] == ("0", "8 messages sent again to wait")
    assert table["starts in all"] == ("9", "of 9 tasks")


@pytest.mark.parametrize(
    ("gate", "row"),
    [(True, ("held by the gate", "")), (False, ("sent again", "no gate in the workers"))],
)
def test_the_table_says_how_tasks_waited(gate: bool, row: tuple[str, str]) -> None:
    plan = dataclasses.replace(PLAN, gate=gate)
    lines = rows(figures_of(starts_at(EVEN), plan, resent=0), plan)
    assert ("waiting tasks", *row) in lines


def test_held_tasks_are_shown_only_where_a_gate_holds_them() -> None:
    progress = Progress(PLAN)
    progress.sent, progress.held = 9, 5
    assert waiting_text(progress) == "9 waiting (5 held)"
    assert waiting_text(progress, 3) == "  9 waiting (  5 held)"
    progress.plan = dataclasses.replace(PLAN, gate=False)
    assert waiting_text(progress) == "9 waiting"


def test_each_broken_promise_is_named() -> None:
    twice = starts_at([*EVEN[:8], *EVEN[:8]])
    twice = [dataclasses.replace(one, number=one.number % 8) for one in twice]
    found = complaints(figures_of(twice, PLAN, resent=0), PLAN)
    assert found == [
        "1 of 9 tasks did not run",
        "8 starts were of tasks that ran before",
        "10 starts were granted within one second, 5 allowed",
    ]


def test_figures_of_a_run_without_a_start_are_zeros() -> None:
    figures = figures_of([], PLAN, resent=0)
    assert (figures.starts, figures.reached_per_second, figures.share) == (0, 0.0, 0.0)


def test_spent_retries_are_added_up() -> None:
    starts = [dataclasses.replace(one, retries=2) for one in starts_at(EVEN)]
    assert figures_of(starts, PLAN, resent=0).retries == 18


def test_tasks_arrive_evenly_the_first_at_once() -> None:
    # 8/s: one at once, then one each eighth of a second, up to the 9 that there are.
    assert [PLAN.sent_after(seconds) for seconds in (0, 0.125, 0.5, 100)] == [1, 2, 5, 9]
    assert dataclasses.replace(PLAN, arrivals=Rate.unlimited()).sent_after(0) == 9


@pytest.mark.parametrize("written", ["40", "40/s", "40/s:7"])
def test_a_limit_is_worded_alike_however_its_rate_was_written(written: str) -> None:
    plan = dataclasses.replace(PLAN, rate=Rate.parse(written), burst=7)
    assert plan.limit_text == "40/s, burst 7"


def test_progress_counts_tasks_once_however_often_they_start() -> None:
    progress = Progress(PLAN)
    progress.sent = 9
    progress.add(starts_at(EVEN[:4]))
    progress.add(starts_at(EVEN[:2]))
    assert (progress.done, progress.waiting, len(progress.starts)) == (4, 5, 6)
    assert progress.in_second_before(EVEN[3]) == 6
    assert not progress.is_complete
    progress.add(starts_at(EVEN))
    assert progress.is_complete
