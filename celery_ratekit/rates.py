"""Rates: how much per period, read from the forms that people write and printed back.

>>> rate = Rate.parse("10/60s:5")
>>> rate.amount, rate.period_seconds, rate.burst
(10.0, 60.0, 5.0)
>>> print(rate)
10/60s:5
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from dataclasses import dataclass, field
from decimal import Decimal

from .errors import BadRateError, did_you_mean

__all__ = ["Rate"]

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

MAX_TEXT_LENGTH = 100
# Bounds that keep every result a finite number of microseconds, exact in a double.
MAX_AMOUNT = 1e12
MAX_PERIOD_SECONDS = 36_500.0 * 86_400
MIN_PERIOD_SECONDS = 1e-6  # The core counts whole microseconds.
MIN_BURST = 1e-6

# How much of a text that cannot be read is shown in the error, in characters.
SHOWN_LENGTH = 40
# Digits that survive scaling: hides what binary fractions add, loses no more than 1e-12.
SCALED_DIGITS = 12

FORMS = (
    'a rate such as "100/m", "10/60s", "10/60s:5" (5 is the burst), 12.5 (per second), '
    '0 (paused) or "unlimited"'
)

# What people write for a unit, and what is to be written instead: a count and a unit.
UNIT_WORDS = {
    "sec": (Decimal(1), "s"),
    "secs": (Decimal(1), "s"),
    "second": (Decimal(1), "s"),
    "seconds": (Decimal(1), "s"),
    "min": (Decimal(1), "m"),
    "mins": (Decimal(1), "m"),
    "minute": (Decimal(1), "m"),
    "minutes": (Decimal(1), "m"),
    "hr": (Decimal(1), "h"),
    "hrs": (Decimal(1), "h"),
    "hour": (Decimal(1), "h"),
    "hours": (Decimal(1), "h"),
    "day": (Decimal(1), "d"),
    "days": (Decimal(1), "d"),
    "w": (Decimal(7), "d"),
    "week": (Decimal(7), "d"),
    "weeks": (Decimal(7), "d"),
    "ms": (Decimal("0.001"), "s"),
    "msec": (Decimal("0.001"), "s"),
    "millisecond": (Decimal("0.001"), "s"),
    "milliseconds": (Decimal("0.001"), "s"),
}

NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
GAP = r"[ \t]*"
NUMBER_TEXT = re.compile(NUMBER)
RATE_TEXT = re.compile(
    rf"(?P<amount>{NUMBER}){GAP}/{GAP}"
    rf"(?P<count>{NUMBER})?{GAP}(?P<unit>[A-Za-z]*){GAP}"
    rf"(?P<colon>:{GAP}(?P<burst>{NUMBER})?)?"
)


@dataclass(frozen=True, slots=True, repr=False)
class Rate:
    """An amount per period, with the burst that may be taken at once.

    ``period_seconds`` is in seconds. ``burst`` is None where none was said; what then applies is
    for the kind of limit to say. Two rates are equal when amount, period and burst are equal: 60
    per minute is not 1 per second, since a fixed window tells them apart.

    >>> Rate(100, 60)
    Rate.parse('100/m')
    >>> Rate(100, 60) == Rate.parse("100/1m") == Rate.parse("100/60s")
    True

    Raises BadRateError for numbers that no limit can keep.
    """

    amount: float
    period_seconds: float = 1.0
    burst: float | None = None
    _written: str = field(default="", init=False, compare=False)

    def __post_init__(self) -> None:
        amount = _checked_number("amount", self.amount)
        period_seconds = _checked_number("period_seconds", self.period_seconds)
        burst = None if self.burst is None else _checked_number("burst", self.burst)
        _check_amount_and_period(amount, period_seconds)
        _check_burst(burst)
        if math.isinf(amount):
            if burst is not None:
                raise BadRateError(
                    f"expected no burst with an unlimited rate, got {burst:g}; leave the burst out"
                )
            period_seconds = 1.0
        object.__setattr__(self, "amount", amount)
        object.__setattr__(self, "period_seconds", period_seconds)
        object.__setattr__(self, "burst", burst)

    @classmethod
    def unlimited(cls) -> Rate:
        """A rate that lets everything pass.

        >>> print(Rate.unlimited())
        unlimited
        """
        return cls(math.inf)

    @classmethod
    def paused(cls) -> Rate:
        """A rate that lets nothing pass until it is changed.

        >>> print(Rate.paused())
        0/s
        """
        return cls(0)

    @classmethod
    def parse(cls, value: str | float | Rate) -> Rate:
        """The rate that ``value`` says: a text, a number per second, or a rate as it is.

        The units are s, m, h and d, in either case, with a count before them or without; amounts,
        counts and bursts may have fractions; ``:5`` after the unit is the burst.

        >>> Rate.parse("4000/3h").per_second
        0.37037037037037035
        >>> Rate.parse(12.5) == Rate.parse("12.5") == Rate.parse("12.5/s")
        True
        >>> Rate.parse("0/m").is_paused, Rate.parse("unlimited").is_unlimited
        (True, True)
        >>> Rate.parse("10/min")
        Traceback (most recent call last):
            ...
        celery_ratekit.errors.BadRateError: expected a unit (s, m, h, d), got '10/min'; write "10/m"

        Raises BadRateError for anything else; its message never repeats more than the beginning
        of what came.
        """
        if isinstance(value, Rate):
            return value
        if isinstance(value, str):
            return cls._parse_text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if isinstance(value, float) and math.isinf(value):
                raise _unreadable(value, 'for no limit write "unlimited"')
            return cls(value)
        raise _unreadable(
            value, 'for no limit write "unlimited"' if value is None else "write it as a text"
        )

    @classmethod
    def _parse_text(cls, value: str) -> Rate:
        text = value.strip()
        if len(value) > MAX_TEXT_LENGTH:
            raise _unreadable(value, f"write it in at most {MAX_TEXT_LENGTH} characters")
        if text.lower() == "unlimited":
            rate = cls.unlimited()
        elif NUMBER_TEXT.fullmatch(text):
            rate = cls(_number(text))
        elif match := RATE_TEXT.fullmatch(text):
            rate = cls._from_match(match, text)
        else:
            raise _unreadable(value, _advice(text))
        object.__setattr__(rate, "_written", text)
        return rate

    @classmethod
    def _from_match(cls, match: re.Match[str], text: str) -> Rate:
        unit = match["unit"].lower()
        if unit not in UNIT_SECONDS:
            raise BadRateError(
                f"expected a unit (s, m, h, d), got {_shown(text)}; {_unit_advice(match)}"
            )
        if match["colon"] and match["burst"] is None:
            raise _unreadable(text, "write a number after the colon or leave the colon out")
        count = Decimal(match["count"] or 1)
        burst = None if match["burst"] is None else _number(match["burst"])
        return cls(_number(match["amount"]), float(count * UNIT_SECONDS[unit]), burst)

    @property
    def per_second(self) -> float:
        """The average rate, per second: 0.0 when paused, infinite when unlimited."""
        return self.amount / self.period_seconds

    @property
    def microseconds_per_token(self) -> float:
        """The time in which one token comes, in microseconds.

        Infinite when paused, 0.0 when unlimited.

        >>> Rate.parse("100/m").microseconds_per_token
        600000.0
        """
        if self.is_paused:
            return math.inf
        return self.period_seconds * 1_000_000 / self.amount

    @property
    def is_unlimited(self) -> bool:
        """Whether everything passes."""
        return math.isinf(self.amount)

    @property
    def is_paused(self) -> bool:
        """Whether nothing passes."""
        return self.amount == 0

    def scaled(self, factor: float) -> Rate:
        """This rate times ``factor``, more than 0: per second, and with the same burst.

        The period stays while the amount is at least 1; below that the amount is said per minute,
        hour or day, whichever gives a whole number, since a window of 0.3 calls would let none
        pass. What is longer than a day becomes one call in a longer time. The result never
        reaches 0 nor leaves the range of rates: it stops at its ends. A paused or an unlimited
        rate stays what it is.

        >>> print(Rate.parse("100/m").scaled(0.5), Rate.parse("1/m").scaled(0.3))
        50/m 18/h
        >>> print(Rate.parse("10/m:5").scaled(0.25), Rate.parse("1/d").scaled(0.5))
        2.5/m:5 1/2d

        Raises BadRateError where the factor is 0, negative or not a finite number.
        """
        factor = _checked_number("factor", factor)
        if not 0 < factor < math.inf:
            raise BadRateError(
                f"expected a finite factor of more than 0, got {factor:g}; "
                "to stop a limit pause it, to lift it make it unlimited"
            )
        if factor == 1 or self.is_paused or self.is_unlimited:
            return self
        amount = _rounded(min(self.amount * factor, MAX_AMOUNT))
        if amount >= 1:
            return Rate(amount, self.period_seconds, self.burst)
        slowest = self.period_seconds / MAX_PERIOD_SECONDS
        return Rate(*_per_longer_period(max(amount, slowest), self.period_seconds), self.burst)

    def __str__(self) -> str:
        """The text as it was written, else the shortest that reads back as an equal rate."""
        if self._written:
            return self._written
        if self.is_unlimited:
            return "unlimited"
        burst = "" if self.burst is None else f":{_plain(self.burst)}"
        return f"{_plain(self.amount)}/{_period_text(self.period_seconds)}{burst}"

    def __repr__(self) -> str:
        return f"Rate.parse({str(self)!r})"


def _checked_number(name: str, value: object) -> float:
    """``value`` as a float, which may still be infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRateError(
            f"expected a number for the {name} of a rate, got {_shown(value)}; "
            "write an int or a float"
        )
    try:
        number = float(value)
    except OverflowError:  # An int with more digits than a float can count.
        number = sys.float_info.max if value > 0 else -sys.float_info.max
    if math.isnan(number):
        raise BadRateError(f"expected a number for the {name} of a rate, got NaN; write a number")
    return number + 0.0  # Makes -0.0 a plain zero.


def _check_amount_and_period(amount: float, period_seconds: float) -> None:
    if amount < 0:
        raise BadRateError(
            f"expected an amount of 0 or more, got {amount:g}; 0 pauses the limit, "
            '"unlimited" lifts it'
        )
    if MAX_AMOUNT < amount < math.inf:
        raise BadRateError(
            f'expected an amount of at most {MAX_AMOUNT:g}, got more; lower it or write "unlimited"'
        )
    if not MIN_PERIOD_SECONDS <= period_seconds <= MAX_PERIOD_SECONDS:
        raise BadRateError(
            "expected a period of more than 0, from one microsecond to 36,500 days, got "
            f'{period_seconds:g} seconds; write for example "10/s" or "10/60s"'
        )
    if 0 < amount < period_seconds / MAX_PERIOD_SECONDS:
        raise BadRateError(
            f"expected at least 1 in 36,500 days, got {amount:g} in {period_seconds:g} seconds; "
            "raise the amount, or write 0 to pause the limit"
        )


def _check_burst(burst: float | None) -> None:
    if burst is not None and not MIN_BURST <= burst <= MAX_AMOUNT:
        raise BadRateError(
            f"expected a burst of more than 0 (from {MIN_BURST:g} to {MAX_AMOUNT:g}), "
            f"got {burst:g}; leave it out or raise it, and write an amount of 0 to pause the limit"
        )


def _per_longer_period(amount: float, period_seconds: float) -> tuple[float, float]:
    """The same rate with an amount of at least 1, and that period in seconds."""
    choices = [
        (_rounded(amount * seconds / period_seconds), float(seconds))
        for seconds in UNIT_SECONDS.values()
        if seconds > period_seconds
    ]
    readable = [choice for choice in choices if choice[0] >= 1]
    if not readable:
        return 1.0, min(_rounded(period_seconds / amount), MAX_PERIOD_SECONDS)
    return next((choice for choice in readable if choice[0].is_integer()), readable[0])


def _rounded(number: float) -> float:
    return float(f"{number:.{SCALED_DIGITS}g}")


def _number(text: str) -> float:
    """A number as written, where it fits a float; never an infinity or 0 that nobody wrote."""
    exact = Decimal(text)
    number = float(exact)
    if math.isinf(number) or (number == 0 and exact != 0):
        raise _unreadable(text, "write numbers of an ordinary size")
    return number


def _plain(number: float) -> str:
    """Every digit that tells ``number`` from its neighbours, without an exponent."""
    return str(int(number)) if number.is_integer() else format(Decimal(repr(number)), "f")


def _period_text(period_seconds: float) -> str:
    for unit, seconds in reversed(UNIT_SECONDS.items()):
        count = period_seconds / seconds
        if count.is_integer() and count * seconds == period_seconds:
            return unit if count == 1 else f"{int(count)}{unit}"
    return f"{_plain(period_seconds)}s"


def _unreadable(value: object, advice: str) -> BadRateError:
    return BadRateError(f"expected {FORMS}, got {_shown(value)}; {advice}")


def _shown(value: object) -> str:
    """What came, short and printable, whatever it is."""
    if isinstance(value, str):
        if len(value) <= SHOWN_LENGTH:
            return repr(value)
        return f"{value[:SHOWN_LENGTH]!r}... ({len(value)} characters)"
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    return f"a value of type {type(value).__name__[:SHOWN_LENGTH]!r}"


def _advice(text: str) -> str:
    """What to write instead of a text that has no form of a rate."""
    if not text:
        return 'write the rate, or "unlimited"'
    if re.fullmatch(r"[+-]?(?:inf|infinity)", text, re.IGNORECASE):
        return 'for no limit write "unlimited"'
    if text.isalpha():
        near = did_you_mean(text.lower(), ["unlimited"]).removeprefix("; ")
        return near or 'for no limit write "unlimited", to pause write 0'
    without_unit = re.fullmatch(rf"({NUMBER}){GAP}:{GAP}({NUMBER})", text)
    if without_unit:
        return f'a burst follows the unit: write "{without_unit[1]}/s:{without_unit[2]}"'
    return "write an amount, a slash and a period"


def _unit_advice(match: re.Match[str]) -> str:
    """What to write instead of a unit that is missing or unknown."""
    amount, count = match["amount"], match["count"] or ""
    burst = f":{match['burst']}" if match["burst"] else ""
    word = match["unit"].lower()
    if not word:
        return f'write "{amount}/{count}s{burst}" for seconds'
    near = (
        difflib.get_close_matches(word, UNIT_WORDS, n=1, cutoff=0.75) if len(word) > 1 else [word]
    )
    if not near or near[0] not in UNIT_WORDS:
        return 'write for example "10/s", "10/m", "10/h" or "10/d"'
    word_count, unit = UNIT_WORDS[near[0]]
    periods = Decimal(count or 1) * word_count
    return (
        f'write "{amount}/{"" if periods == 1 else format(periods.normalize(), "g")}{unit}{burst}"'
    )
