"""The checkers of bounds, on which property tests rely, let pass what may be and nothing else."""

from __future__ import annotations

import pytest
from support import bounds


def added(begin: float, end: float) -> float:
    return (end - begin) / 1_000  # A token every 1,000 us.


def test_a_token_bucket_may_burst_and_then_go_on_at_its_rate() -> None:
    starts = [(0.0, 3.0), (1_000.0, 1.0), (2_000.0, 1.0), (9_000.0, 3.0)]
    bounds.check_token_bucket(starts, 3, added)
    with pytest.raises(AssertionError):
        bounds.check_token_bucket([*starts, (2_000.0, 0.1)], 3, added)


def test_what_came_back_to_a_token_bucket_counts_from_then_on() -> None:
    bounds.check_token_bucket([(0.0, 3.0), (5.0, -1.0), (5.0, 1.0)], 3, added)
    with pytest.raises(AssertionError):  # It came back before the window began.
        bounds.check_token_bucket([(0.0, 1.0), (5.0, -1.0), (9_000.0, 4.0)], 3, added)


def test_a_sliding_window_ends_where_its_period_ends() -> None:
    bounds.check_sliding_window([(0.0, 2.0), (100.0, 2.0)], 2, 100)
    with pytest.raises(AssertionError):
        bounds.check_sliding_window([(0.0, 1.0), (1.0, 1.0), (99.0, 1.0)], 2, 100)


def test_two_fixed_windows_may_meet_but_three_may_not() -> None:
    bounds.check_fixed_window([(99.0, 2.0), (100.0, 2.0)], 2, 100)
    with pytest.raises(AssertionError):
        bounds.check_fixed_window([(99.0, 2.0), (100.0, 2.0), (198.0, 1.0)], 2, 100)


def test_a_scheduled_bucket_adds_at_its_instants_only() -> None:
    bounds.check_scheduled_bucket([(0.0, 3.0), (50.0, 1.0)], 3, 1, [50.0])
    with pytest.raises(AssertionError):
        bounds.check_scheduled_bucket([(0.0, 3.0), (49.0, 1.0)], 3, 1, [50.0])


def test_a_place_that_comes_back_may_be_taken_at_that_moment() -> None:
    bounds.check_concurrency([(0.0, 2.0), (5.0, -1.0), (5.0, 1.0)], 2)
    with pytest.raises(AssertionError):
        bounds.check_concurrency([(0.0, 2.0), (5.0, -1.0), (4.0, 1.0)], 2)
