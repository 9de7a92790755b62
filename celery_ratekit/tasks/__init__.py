"""Task classes: subclass or pass as ``base=`` to limit how often a task starts."""

from .adaptive import AdaptiveRateLimitTask
from .base import RateLimitedTask
from .call import Call
from .compose import compose
from .concurrency import ConcurrencyLimitTask
from .dynamic import DynamicRateLimitTask
from .per_user import PerUserRateLimitTask
from .static import StaticRateLimitTask
from .token_bucket import TokenBucketTask

__all__ = [
    "AdaptiveRateLimitTask",
    "Call",
    "ConcurrencyLimitTask",
    "DynamicRateLimitTask",
    "PerUserRateLimitTask",
    "RateLimitedTask",
    "StaticRateLimitTask",
    "TokenBucketTask",
    "compose",
]
