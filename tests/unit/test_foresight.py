"""When a call will start that waits behind others."""

from __future__ import annotations

import math

import pytest
from celery.schedules import crontab

from celery_ratekit.limiter.foresight import seconds_behind
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

DAILY = crontab(hour="0", minute="0")


@pytest.mark.parametrize(
    ("limit", "before", "seconds"),
    [
        (TokenBucket("a", "10/s"), 0, 0),
        (TokenBucket("a", "10/s"), 25, 2.5),
        (TokenBucket("a", "10/s", burst=5, cost=2), 25, 5),
        (FixedWindow("a", "10/m"), 9, 0),
        (FixedWindow("a", "10/m"), 10, 60),
        (SlidingWindow("a", "10/m", cost=3), 7, 120),
        (TokenBucket("a", "unlimited"), 1_000, 0),
        (TokenBucket("a", "10/s", cost=0), 1_000, 0),
        (TokenBucket("a", 0), 0, math.inf),
        (FixedWindow("a", 0), 5, math.inf),
        (Concurrency("a", 3), 0, 0),
        (Concurrency("a", 3), 1, math.inf),
        (ScheduledBucket("a", DAILY, 10, 20), 1, math.inf),
    ],
)
def test_who_waits_behind_others_starts_after_them(
    limit: Limit, before: int, seconds: float
) -> None:
    assert seconds_behind(limit, before) == pytest.approx(seconds)
