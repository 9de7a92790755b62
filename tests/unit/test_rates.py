"""Rates: every form is read, printed back as it was written, and refused where it means nothing."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_ratekit.errors import BadRateError
from celery_ratekit.rates import MAX_AMOUNT, MAX_PERIOD_SECONDS, MIN_PERIOD_SECONDS, Rate

LONGEST_MESSAGE = 400

amounts = st.floats(min_value=0, max_value=MAX_AMOUNT) | st.integers(0, 1_000_000)
periods = st.floats(min_value=MIN_PERIOD_SECONDS, max_value=MAX_PERIOD_SECONDS) | st.sampled_from(
    [1, 60, 90, 3_600, 5_400, 86_400, 604_800]
)
bursts = st.none() | st.floats(min_value=1e-6, max_value=MAX_AMOUNT) | st.integers(1, 1_000)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    amount, period = draw(amounts), draw(periods)
    if 0 < amount < period / MAX_PERIOD_SECONDS:
        amount = 1
    return draw(st.sampled_from([Rate.unlimited(), Rate(amount, period, draw(bursts))]))


@pytest.mark.parametrize(
    ("text", "amount", "period_seconds", "burst"),
    [
        ("100/m", 100, 60, None),
        ("10/60s", 10, 60, None),
        ("4000/3h", 4000, 3 * 3600, None),
        ("10/60s:5", 10, 60, 5),
        ("1000/d", 1000, 86400, None),
        ("5/1m", 5, 60, None),
        ("0.5/m", 0.5, 60, None),
        (".5/m", 0.5, 60, None),
        ("10/0.1h", 10, 0.1 * 3600, None),
        ("10/1.1m:2.5", 10, 66, 2.5),
        ("1e3/s", 1000, 1, None),
        ("12.5", 12.5, 1, None),
        ("7", 7, 1, None),
        ("10/S", 10, 1, None),
        ("10/2D", 10, 2 * 86400, None),
        (" 10 / 60 s : 5 ", 10, 60, 5),
        ("0", 0, 1, None),
        ("0/m", 0, 60, None),
        ("unlimited", math.inf, 1, None),
        ("Unlimited", math.inf, 1, None),
        (12.5, 12.5, 1, None),
        (3, 3, 1, None),
        (0, 0, 1, None),
    ],
)
def test_every_form_is_read_as_amount_period_and_burst(
    text: str | float, amount: float, period_seconds: float, burst: float | None
) -> None:
    rate = Rate.parse(text)
    assert (rate.amount, rate.period_seconds, rate.burst) == (amount, period_seconds, burst)
    assert rate == Rate(amount, period_seconds, burst)


@pytest.mark.parametrize("text", ["5/1m", "10/60s:5", "12.5", "UNLIMITED", "0/m", "1e3/s"])
def test_a_rate_prints_as_it_was_written(text: str) -> None:
    assert str(Rate.parse(text)) == text
    assert str(Rate.parse(f"  {text}\n")) == text


def test_how_a_rate_was_written_makes_no_difference_to_what_it_is() -> None:
    assert len({Rate.parse("60/m"), Rate.parse("60/1m"), Rate.parse("60/60s"), Rate(60, 60)}) == 1


@pytest.mark.parametrize("other", ["1/s", "60/m:60", "61/m", "120/2m"])
def test_rates_that_a_limit_tells_apart_are_not_equal(other: str) -> None:
    assert Rate.parse(other) != Rate.parse("60/m")


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (Rate(100, 60), "100/m"),
        (Rate(10, 90), "10/90s"),
        (Rate(10, 120, 5), "10/2m:5"),
        (Rate(1, 7 * 86400), "1/7d"),
        (Rate(0.00001), "0.00001/s"),
        (Rate(1, 0.25), "1/0.25s"),
        (Rate(1e12), "1000000000000/s"),
        (Rate(0, 60), "0/m"),
        (Rate(-0.0), "0/s"),
        (Rate(math.inf, 60), "unlimited"),
    ],
)
def test_a_rate_made_from_numbers_prints_the_shortest_form(rate: Rate, text: str) -> None:
    assert str(rate) == text


@given(rates())
def test_what_a_rate_prints_reads_back_as_an_equal_rate(rate: Rate) -> None:
    again = Rate.parse(str(rate))
    assert again == rate
    assert hash(again) == hash(rate)
    assert str(again) == str(rate)
    assert eval(repr(rate)) == rate


@given(rates())
def test_a_rate_survives_pickling_and_copying(rate: Rate) -> None:
    for again in (pickle.loads(pickle.dumps(rate)), copy.copy(rate), Rate.parse(rate)):
        assert (again, str(again)) == (rate, str(rate))


def test_a_rate_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Rate(1).amount = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "per_second", "microseconds_per_token"),
    [
        ("100/m", 100 / 60, 60_000_000 / 100),
        ("10/60s:5", 10 / 60, 60_000_000 / 10),
        ("2000000", 2_000_000, 0.5),
        ("1000/d", 1000 / 86_400, 86_400_000_000 / 1000),
        ("0/m", 0, math.inf),
        ("unlimited", math.inf, 0),
    ],
)
def test_speed_follows_from_amount_and_period(
    text: str, per_second: float, microseconds_per_token: float
) -> None:
    rate = Rate.parse(text)
    assert rate.per_second == per_second
    assert rate.microseconds_per_token == microseconds_per_token


def test_only_zero_is_paused_and_only_unlimited_is_unlimited() -> None:
    for text in ("0", "0/m", "0/d:5", 0, 0.0, "-0"):
        assert Rate.parse(text).is_paused
        assert not Rate.parse(text).is_unlimited
    assert Rate.parse("unlimited").is_unlimited
    assert not Rate.parse("unlimited").is_paused
    assert not Rate.parse("1/d").is_paused
    assert (Rate.paused(), Rate.unlimited()) == (Rate.parse(0), Rate.parse("unlimited"))


@pytest.mark.parametrize(
    ("value", "came", "advice"),
    [
        ("", "''", "write the rate"),
        ("   ", "'   '", "write the rate"),
        ("10/", "'10/'", 'write "10/s"'),
        ("10/60", "'10/60'", 'write "10/60s"'),
        ("10/60:5", "'10/60:5'", 'write "10/60s:5"'),
        ("10:5", "'10:5'", 'write "10/s:5"'),
        ("/s", "'/s'", "an amount, a slash and a period"),
        ("10 s", "'10 s'", "an amount, a slash and a period"),
        ("10/s/m", "'10/s/m'", "an amount, a slash and a period"),
        ("1,000/s", "'1,000/s'", "an amount, a slash and a period"),
        ("\u0661/s", "'\u0661/s'", "an amount, a slash and a period"),
        ("10/s:", "'10/s:'", "a number after the colon"),
        ("10/min", "'10/min'", 'write "10/m"'),
        ("10/minuts", "'10/minuts'", 'write "10/m"'),
        ("10/5Hours:2", "'10/5Hours:2'", 'write "10/5h:2"'),
        ("10/w", "'10/w'", 'write "10/7d"'),
        ("10/2weeks", "'10/2weeks'", 'write "10/14d"'),
        ("10/250ms", "'10/250ms'", 'write "10/0.25s"'),
        ("10/month", "'10/month'", 'for example "10/s"'),
        ("10/q", "'10/q'", 'for example "10/s"'),
        ("10/0s", "0 seconds", 'for example "10/s"'),
        ("10/-1s", "-1 seconds", 'for example "10/s"'),
        ("10/99999d", "8.63991e+09 seconds", 'for example "10/s"'),
        ("-5/s", "-5", "0 pauses the limit"),
        (-1, "-1", "0 pauses the limit"),
        (-(10**400), "-1.79769e+308", "0 pauses the limit"),
        ("1e-12/s", "1e-12 in 1 seconds", "raise the amount"),
        ("1e13/s", "more", '"unlimited"'),
        (10**400, "more", '"unlimited"'),
        ("1e999/s", "'1e999'", "an ordinary size"),
        ("1e-999/s", "'1e-999'", "an ordinary size"),
        ("10/s:0", "0", "leave it out"),
        ("10/s:-1", "-1", "leave it out"),
        ("nan", "'nan'", '"unlimited"'),
        ("inf", "'inf'", '"unlimited"'),
        ("-Infinity", "'-Infinity'", '"unlimited"'),
        ("unlimted", "'unlimted'", "did you mean 'unlimited'?"),
        ("paused", "'paused'", "to pause write 0"),
        (math.nan, "NaN", "write a number"),
        (math.inf, "inf", '"unlimited"'),
        (True, "True", "write it as a text"),
        (None, "None", '"unlimited"'),
        (b"10/s", "a value of type 'bytes'", "write it as a text"),
        ([10], "a value of type 'list'", "write it as a text"),
    ],
)
def test_what_is_no_rate_is_refused_with_what_came_and_what_to_do(
    value: object, came: str, advice: str
) -> None:
    with pytest.raises(BadRateError) as caught:
        Rate.parse(value)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("expected ")
    assert f"got {came}" in message
    assert advice in message


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "9" * 10_000, "10/" + "s" * 97, " " * 10_000 + "1/s", "1e5" * 33]
)
def test_a_message_shows_only_the_beginning_of_what_came(text: str) -> None:
    with pytest.raises(BadRateError) as caught:
        Rate.parse(text)
    assert f"{text[:40]!r}... ({len(text)} characters)" in str(caught.value)
    assert len(str(caught.value)) < LONGEST_MESSAGE


def rate_or_message(text: str) -> Rate | str:
    try:
        return Rate.parse(text)
    except BadRateError as error:
        return str(error)


@given(st.text() | st.text("0123456789.eE+-/:smhdw \n"))
def test_any_text_is_a_rate_that_prints_back_or_an_error_of_ours(text: str) -> None:
    answer = rate_or_message(text)
    if isinstance(answer, Rate):
        assert rate_or_message(str(answer)) == answer
    assert len(str(answer)) < LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        (("5", 60), "amount"),
        ((True, 60), "amount"),
        ((math.nan, 60), "amount"),
        ((5, "60"), "period_seconds"),
        ((5, math.nan), "period_seconds"),
        ((5, 60, "5"), "burst"),
        ((5, 60, math.nan), "burst"),
        ((math.inf, 60, 5), "burst"),
        ((5, math.inf), "period"),
        ((5, 60, math.inf), "burst"),
    ],
)
def test_numbers_that_no_limit_can_keep_are_refused(numbers: tuple[float, ...], name: str) -> None:
    with pytest.raises(BadRateError, match=name):
        Rate(*numbers)


@pytest.mark.parametrize(
    ("text", "factor", "scaled", "because"),
    [
        ("100/m", 0.5, "50/m", "100 x 0.5"),
        ("100/m", 0.333, "33.3/m", "100 x 0.333, without the digits of binary fractions"),
        ("5/m", 0.5, "2.5/m", "at least 1 keeps its period"),
        ("1/m", 0.3, "18/h", "0.3/m = 18/h"),
        ("1/s", 0.5, "30/m", "0.5/s = 30/m"),
        ("1/s", 0.01, "36/h", "0.01/s = 0.6/m = 36/h"),
        ("1/s", 0.0275, "99/h", "0.0275/s = 1.65/m = 99/h: the first whole number"),
        ("1/m", 0.33333, "19.9998/h", "no unit gives a whole number: the first of at least 1"),
        ("1/h", 0.5, "12/d", "0.5/h = 12/d"),
        ("1/d", 0.5, "1/2d", "one in 1 / 0.5 days"),
        ("1/d", 0.3, "1/80h", "one in 24 h / 0.3"),
        ("1/7d", 0.5, "1/14d", "one in 7 d / 0.5"),
        ("10/60s:5", 0.5, "5/m:5", "the burst stays"),
        ("10/60s:5", 2, "20/m:5", "the burst stays"),
        ("10/60s", 1, "10/60s", "nothing to change, so as it was written"),
        ("unlimited", 0.5, "unlimited", "stays what it is"),
        ("0/m", 2, "0/m", "stays what it is"),
        ("1/d", 1e-300, "1/36500d", "never 0: the slowest rate there is"),
        ("1/s", 5e-324, "1/36500d", "never 0: the slowest rate there is"),
        ("1e12/s", 1e300, "1000000000000/s", "the highest amount there is"),
    ],
)
def test_a_scaled_rate_is_readable(text: str, factor: float, scaled: str, because: str) -> None:
    assert str(Rate.parse(text).scaled(factor)) == scaled, because


@given(rates(), st.floats(min_value=1e-6, max_value=1e6))
def test_a_scaled_rate_is_the_product_and_reads_back(rate: Rate, factor: float) -> None:
    scaled = rate.scaled(factor)
    assert Rate.parse(str(scaled)) == scaled
    assert (scaled.is_paused, scaled.is_unlimited) == (rate.is_paused, rate.is_unlimited)
    assert scaled.burst == rate.burst
    slowest, fastest = 1 / MAX_PERIOD_SECONDS, MAX_AMOUNT / rate.period_seconds
    exact = min(max(rate.per_second * factor, slowest), fastest)
    if not (rate.is_paused or rate.is_unlimited):
        assert scaled.per_second == pytest.approx(exact, rel=1e-11)


@given(rates().filter(lambda rate: 0 < rate.amount < math.inf), st.floats(5e-324, 1e308))
def test_no_factor_pauses_a_rate_or_makes_it_unlimited(rate: Rate, factor: float) -> None:
    assert 0 < rate.scaled(factor).per_second < math.inf


@pytest.mark.parametrize("factor", [0, -0.5, math.nan, math.inf, True, "2", None])
def test_a_factor_that_is_no_positive_number_is_refused(factor: float) -> None:
    with pytest.raises(BadRateError, match="factor"):
        Rate.parse("10/m").scaled(factor)
