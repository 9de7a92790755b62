"""The law of adaptive rates: within its bounds, one step a round, up only with calls in use."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_ratekit.adaptive.law import Bounds, Learned, is_settled, rate_of, succeeded, throttled

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
BOUNDS = Bounds(start_per_second=100.0, least_per_second=10.0, most_per_second=200.0)


def refuse(
    learned: Learned | None,
    now_us: float,
    *,
    granted_us: float | None = None,
    freeze_seconds: float = 1.0,
    bounds: Bounds = BOUNDS,
) -> Learned:
    return throttled(
        learned,
        bounds,
        now_us=now_us,
        granted_us=now_us if granted_us is None else granted_us,
        freeze_seconds=freeze_seconds,
    )


def use(learned: Learned | None, now_us: float, seconds: int, share: float = 1.0) -> Learned:
    """A share of the rate in use for some seconds, told once a second."""
    state = succeeded(learned, BOUNDS, now_us=now_us, count=0)
    for second in range(1, seconds + 1):
        count = share * rate_of(state, BOUNDS)
        state = succeeded(state, BOUNDS, now_us=now_us + second * SECOND, count=count)
    return state


def test_nothing_known_is_the_rate_where_it_starts() -> None:
    assert rate_of(None, BOUNDS) == 100.0


def test_a_first_refusal_lowers_the_rate_a_little() -> None:
    assert rate_of(refuse(None, NOW), BOUNDS) == pytest.approx(95.0)


def test_refusals_that_go_on_lower_it_more_each_time() -> None:
    learned, rates = None, []
    for number in range(6):
        learned = refuse(learned, NOW + number * 3 * SECOND)
        rates.append(rate_of(learned, BOUNDS))

    factors = [after / before for before, after in zip([100.0, *rates], rates, strict=False)]
    # 0.95, and each the square of the one before, down to 0.65
    assert factors == pytest.approx([0.95, 0.9025, 0.8145, 0.6634, 0.65, 0.65], rel=1e-3)


def test_a_rate_that_has_worked_for_a_while_is_lowered_a_little_again() -> None:
    learned = refuse(refuse(None, NOW), NOW + 3 * SECOND)

    learned = use(learned, NOW + 3 * SECOND, 10)
    before = rate_of(learned, BOUNDS)

    assert rate_of(refuse(learned, NOW + 13 * SECOND), BOUNDS) == pytest.approx(0.95 * before)


@pytest.mark.parametrize("granted_after_us", [-3_600 * SECOND, 0, 3 * SECOND - 1])
def test_refusals_of_calls_that_could_not_know_better_change_nothing(granted_after_us: int) -> None:
    learned = refuse(None, NOW)

    again = refuse(learned, NOW + 60 * SECOND, granted_us=NOW + granted_after_us)

    assert again == learned


def test_a_refusal_of_a_call_that_knew_better_lowers_the_rate_again() -> None:
    learned = refuse(None, NOW)

    again = refuse(learned, NOW + 3 * SECOND, granted_us=NOW + 3 * SECOND)

    assert rate_of(again, BOUNDS) < rate_of(learned, BOUNDS)


def test_the_climb_is_fast_at_first_level_near_what_was_refused_and_then_fast_again() -> None:
    learned = refuse(None, NOW)
    moments = (0, 6, 14, 20, 26, 34, 40)  # seconds of full use; the climb takes 20
    rates = [rate_of(use(learned, NOW, seconds), BOUNDS) for seconds in moments]

    assert rates[1] - rates[0] > 10 * (rates[3] - rates[2])
    assert rates[3] == pytest.approx(98.0, rel=0.001)
    assert rates[6] - rates[5] > 10 * (rates[4] - rates[3])
    assert rates[6] == pytest.approx(98.0 * 1.1, rel=0.01)


def test_a_rate_that_half_of_is_used_climbs_half_as_fast() -> None:
    learned = refuse(None, NOW)

    half = use(learned, NOW, 20, share=0.5)

    assert half.worked_seconds == pytest.approx(use(learned, NOW, 10).worked_seconds, rel=0.05)


def test_a_rate_that_is_hardly_used_does_not_climb() -> None:
    learned = refuse(None, NOW)

    assert rate_of(use(learned, NOW, 3_600, share=0.4), BOUNDS) == rate_of(learned, BOUNDS)


def test_a_pause_does_not_raise_it() -> None:
    learned = use(refuse(None, NOW), NOW, 4)

    later = succeeded(learned, BOUNDS, now_us=NOW + 86_400 * SECOND, count=100)

    assert rate_of(later, BOUNDS) == rate_of(learned, BOUNDS)


def test_more_successes_than_the_rate_allows_count_as_full_use() -> None:
    learned = refuse(None, NOW)

    later = succeeded(learned, BOUNDS, now_us=NOW + 2 * SECOND, count=1e6)

    assert later.worked_seconds == 2.0


def test_a_low_rate_takes_ten_starts_to_climb() -> None:
    slow = Bounds(0.1, 0.01, 0.1)
    learned = refuse(None, NOW, bounds=slow)

    before = succeeded(learned, slow, now_us=NOW + 100 * SECOND, count=10)
    after = succeeded(learned, slow, now_us=NOW + 106 * SECOND, count=10)

    assert rate_of(before, slow) == rate_of(learned, slow)
    assert rate_of(after, slow) > rate_of(learned, slow)


def test_where_refusals_freeze_for_long_the_rate_is_probed_seldom() -> None:
    short, long = refuse(None, NOW), refuse(None, NOW, freeze_seconds=30)

    assert (short.climb_seconds, long.climb_seconds) == (20, 600)
    assert refuse(None, NOW, freeze_seconds=86_400).climb_seconds == 1_200


def test_at_the_ceiling_nothing_is_saved_up_that_would_delay_the_descent() -> None:
    top = use(refuse(None, NOW), NOW, 600)
    assert rate_of(top, BOUNDS) == 200.0

    assert rate_of(refuse(top, NOW + 700 * SECOND), BOUNDS) == pytest.approx(190.0)


def test_a_ceiling_that_is_where_it_starts_needs_no_memory() -> None:
    capped = replace(BOUNDS, start_per_second=200.0)
    top = use(refuse(None, NOW), NOW, 600)

    assert is_settled(top, capped)
    assert not is_settled(top, BOUNDS)
    assert not is_settled(refuse(None, NOW, bounds=capped), capped)


def test_a_clock_that_steps_back_stops_neither_way() -> None:
    hour = 3_600 * SECOND
    learned = use(refuse(None, NOW), NOW, 4)

    raised = use(learned, NOW - hour, 6)
    lowered = refuse(raised, NOW - hour + 10 * SECOND)

    assert rate_of(raised, BOUNDS) > rate_of(learned, BOUNDS)
    assert rate_of(lowered, BOUNDS) < rate_of(raised, BOUNDS)


MOMENTS = st.integers(-10 * SECOND, 100 * SECOND)
SIZES = st.floats(1e-4, 1e5)


@st.composite
def any_bounds(draw: st.DrawFn) -> Bounds:
    least, start, most = sorted(draw(st.tuples(SIZES, SIZES, SIZES)))
    return Bounds(start, least, most)


@given(
    bounds=any_bounds(),
    meetings=st.lists(
        st.tuples(
            MOMENTS, st.one_of(st.none(), st.integers(1, 10_000)), MOMENTS, st.floats(0, 1e4)
        ),
        max_size=40,
    ),
)
def test_whatever_is_met_the_rate_keeps_its_bounds_and_moves_the_right_way(
    bounds: Bounds, meetings: list[tuple[int, int | None, int, float]]
) -> None:
    learned: Learned | None = None
    now = NOW
    for step, count, ago, freeze_seconds in meetings:
        now += step
        before = rate_of(learned, bounds)
        if count is None:
            refusal = partial(
                refuse, granted_us=now - ago, freeze_seconds=freeze_seconds, bounds=bounds
            )
            learned = refusal(learned, now)
            assert rate_of(learned, bounds) <= before
            assert refusal(learned, now) == learned
        else:
            learned = succeeded(learned, bounds, now_us=now, count=count)
            assert rate_of(learned, bounds) >= before
        assert bounds.least_per_second <= rate_of(learned, bounds) <= bounds.most_per_second
