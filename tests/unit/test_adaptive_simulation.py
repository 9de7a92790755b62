"""A fleet finds out what a service takes, in virtual time: near it, and hardly ever above."""

from __future__ import annotations

import math

import pytest
from support.adaptive import (
    Service,
    between,
    is_near,
    most_above,
    refused,
    share_of_time,
    simulate,
    used,
)

from celery_ratekit.adaptive.law import Bounds

SEEDS = [1, 2, 3]

# Once settled: the rate passes the capacity by less than this where it probes,
MOST_ABOVE = 1.03
# and of the calls fewer are refused.
MOST_REFUSED = 0.002


@pytest.mark.parametrize("seed", SEEDS)
def test_it_settles_within_a_tenth_of_a_capacity_that_falls_and_rises(seed: int) -> None:
    def capacity(now: float) -> int:
        return 40 if 200 <= now < 400 else 100

    moments = simulate(Service(capacity), Bounds(200.0, 1.0, 200.0), 700, seed=seed)

    for begin, end in [(60, 200), (260, 400), (540, 700)]:
        settled = between(moments, begin, end)
        assert share_of_time(settled, is_near) >= 0.98
        assert most_above(settled) <= MOST_ABOVE
        assert refused(settled) <= MOST_REFUSED
        assert used(settled) >= 0.88


@pytest.mark.parametrize("seed", SEEDS)
def test_it_follows_a_capacity_that_comes_and_goes_in_waves(seed: int) -> None:
    def capacity(now: float) -> int:
        return 60 + round(40 * math.sin(2 * math.pi * now / 3_600))

    moments = simulate(Service(capacity), Bounds(120.0, 1.0, 120.0), 3_600, seed=seed)

    settled = between(moments, 120, 3_600)
    assert share_of_time(settled, is_near) >= 0.9
    assert most_above(settled) <= 1.1
    assert refused(settled) <= MOST_REFUSED
    assert used(settled) >= 0.85


@pytest.mark.parametrize("processes", [1, 40])
def test_a_start_that_is_twenty_times_too_fast_is_found_out_in_a_minute(processes: int) -> None:
    moments = simulate(
        Service(lambda now: 50), Bounds(1_000.0, 1.0, 1_000.0), 300, processes=processes
    )

    settled = between(moments, 60, 300)
    assert share_of_time(settled, is_near) >= 0.95
    assert most_above(settled) <= MOST_ABOVE


def test_a_start_that_is_ten_times_too_slow_is_found_out_in_two_minutes() -> None:
    moments = simulate(Service(lambda now: 200), Bounds(20.0, 1.0, 1_000.0), 300)

    settled = between(moments, 130, 300)
    assert share_of_time(settled, is_near) >= 0.95
    assert most_above(settled) <= 1.05
    assert refused(between(moments, 0, 300)) <= 0.01


def test_a_service_that_wants_to_be_left_alone_for_long_is_provoked_seldom() -> None:
    service = Service(lambda now: 50, freeze_seconds=30)

    moments = simulate(service, Bounds(100.0, 1.0, 100.0), 3_600)

    settled = between(moments, 600, 3_600)
    assert used(settled) >= 0.88  # With a probe every half minute it would be less than half.
    assert share_of_time(settled, is_near) >= 0.98


def test_a_service_that_counts_by_the_minute_is_followed_too() -> None:
    service = Service(lambda now: 60, window_seconds=60, freeze_seconds=20)

    moments = simulate(service, Bounds(5.0, 0.01, 5.0), 4_000)

    settled = between(moments, 1_500, 4_000)
    assert share_of_time(settled, is_near) >= 0.9
    assert refused(settled) <= 0.01
    assert used(settled) >= 0.88
