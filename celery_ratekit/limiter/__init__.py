"""Deciding: the limiter, its Lua core, its connections and its failure policies.

Useful without Celery: a web view can ask whether to answer 429 before it enqueues anything.
"""

from .ask import Ask
from .decision import Decision, LimitState, Redemption, Reservations
from .leases import LeaseKeeper
from .limiter import Limiter

__all__ = [
    "Ask",
    "Decision",
    "LeaseKeeper",
    "LimitState",
    "Limiter",
    "Redemption",
    "Reservations",
]
