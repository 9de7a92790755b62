"""Limits: frozen values that say what is limited and how; they hold no connection.

>>> TokenBucket("stripe", "25/s", burst=100)
TokenBucket('stripe', '25/s', burst=100)
>>> FixedWindow("signup", "10/m", key="user 7").with_cost(2)
FixedWindow('signup', '10/m', key='user 7', cost=2)
"""

from .base import Cost, Key, Limit, RatedLimit, RateSource
from .concurrency import Concurrency
from .fixed_window import FixedWindow
from .scheduled_bucket import Schedule, ScheduledBucket
from .sliding_window import SlidingWindow
from .token_bucket import TokenBucket

__all__ = [
    "Concurrency",
    "Cost",
    "FixedWindow",
    "Key",
    "Limit",
    "RateSource",
    "RatedLimit",
    "Schedule",
    "ScheduledBucket",
    "SlidingWindow",
    "TokenBucket",
]
