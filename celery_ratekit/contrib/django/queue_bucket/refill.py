"""How many tokens a bucket's schedule has brought since it was last refilled; no I/O."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

from ....limiter.schedule import following, last_until
from ..token_bucket import TokenBucket

__all__ = ["Refill"]

EARLY = timedelta(seconds=2)
"""How far the clock of the worker that refills may be behind that of beat, which sends it off."""


class Refill:
    """One refill of a bucket, at a moment.

    Beat sends it off again where it was restarted, and sends off none while it is away. So what
    counts is which instants of the schedule have passed: each brings its tokens once.
    """

    def __init__(self, bucket: TokenBucket, now: datetime) -> None:
        self._bucket = bucket
        self._last = last_until(bucket.schedule, now + EARLY)
        #: The last instant of the schedule, seconds since 1970.
        self.instant = round(self._last.timestamp())

    def tokens_since(self, before: int | None) -> int:
        """What the instants after ``before`` bring, up to the maximum; 0 where there was none.

        ``before`` is the last instant of the refill before this one; None: there was none.
        """
        amount, maximum = int(self._bucket.amount), int(self._bucket.maximum)
        if before is None:
            return amount
        instants, most = 0, math.ceil(maximum / amount)
        instant = datetime.fromtimestamp(before, timezone.utc)
        while instants < most:
            instant = following(self._bucket.schedule, instant)
            if instant > self._last:
                break
            instants += 1
        return min(instants * amount, maximum)
