"""How long a service asks its callers to wait is read from whatever strangers send."""

from __future__ import annotations

import math
from typing import Any

import pytest

from celery_ratekit.tasks.retry_after import default_seconds, seconds_from

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30),
        (1.5, 1.5),
        ("30", 30),
        (" 120 ", 120),
        ("1.5", 1.5),
        (b"30", 30),
        (0, 0),
        (-5, 0),
        ("-5", 0),
        (math.inf, math.inf),
        (10**400, math.inf),
        (-(10**400), 0),
        ("9" * 5_000, math.inf),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60),
        ("Mon, 13 Nov 2023 22:13:20 GMT", 0),
    ],
)
def test_seconds_and_dates_are_read(value: Any, seconds: float) -> None:
    assert seconds_from(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        math.nan,
        "",
        "soon",
        "nan",
        "inf",
        "1e3",
        "0x10",
        "1_000",
        "\u0663",
        "1 2",
        "Tue, 99 Nov 2023 22:14:20 GMT",
        "Tue, 14 Nov 2023 99:99:99 GMT",
        "Tue, 14 Nov 99999999999999999999 22:14:20 GMT",
        "Tue, 14 Nov 2023 22:14:20 +9999999999999999",
        "\x00",
        b"\xff\xfe",
        [30],
        {"seconds": 30},
        "Tue, " * 10_000,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_time_is_none_and_never_an_error(value: Any) -> None:
    assert seconds_from(value, NOW) is None


def test_where_nothing_was_said_the_wait_doubles_up_to_a_minute() -> None:
    waits = [default_seconds(number) for number in range(1, 9)]

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert default_seconds(0) == 1
    assert default_seconds(10**9) == 60
