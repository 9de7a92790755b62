"""Lower rates, and rates in Celery's own words."""

from __future__ import annotations

import pytest

from celery_ratekit.errors import BadOptionError, BadRateError
from celery_ratekit.manager.plain import celerys_text
from celery_ratekit.manager.reductions import reduced_text
from celery_ratekit.rates import Rate


@pytest.mark.parametrize(
    ("rate", "factor", "is_window", "expected"),
    [
        ("100/m", 0.5, False, "50/m"),
        ("1/m", 0.3, False, "18/h"),
        ("1/m", 0.3, True, "1/200s"),
        ("10/m", 0.05, True, "1/2m"),
        ("10/m", 0.25, True, "2.5/m"),
        ("1/d", 1e-9, True, "1/36500d"),
        ("unlimited", 0.5, True, "unlimited"),
        ("0", 0.5, True, "0"),
        (4, 0.5, False, "2"),
        (4, 0.1, False, "1"),
        (0, 0.1, False, "0"),
    ],
)
def test_a_reduced_rate_never_reaches_0_and_never_lets_more_start_at_once(
    rate: str | int, factor: float, is_window: bool, expected: str
) -> None:
    assert reduced_text(rate, factor, is_window=is_window) == expected


@pytest.mark.parametrize("factor", [0, -0.5, float("inf"), float("nan")])
@pytest.mark.parametrize("rate", ["10/m", 4])
def test_impossible_factors_are_refused(rate: str | int, factor: float) -> None:
    with pytest.raises(BadRateError, match="factor"):
        reduced_text(rate, factor)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("10/s", "10/s"),
        ("100/m:20", "100/m"),
        ("0.5/h", "0.5/h"),
        ("12/d", "0.5/h"),
        ("10/60s", "10/m"),
        ("30/90s", "1200/h"),
        (2.5, "2.5/s"),
        ("unlimited", "0"),
    ],
)
def test_celerys_own_limit_is_told_in_its_own_words(rate: str | float, expected: str) -> None:
    assert celerys_text(Rate.parse(rate), "celerys") == expected


def test_celerys_own_limit_cannot_be_paused() -> None:
    with pytest.raises(BadOptionError, match="0 means unlimited"):
        celerys_text(Rate.parse(0), "celerys")
