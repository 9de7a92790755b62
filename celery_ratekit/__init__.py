"""Rate limits that Celery users can trust: global, exact, and free for tasks without a limit.

Limits and rates:
    `Rate`, `TokenBucket`, `FixedWindow`, `SlidingWindow`, `ScheduledBucket`, `Concurrency`

Deciding, with or without Celery:
    `Limiter` and the `Decision` that it gives

Tasks:
    `RateLimitedTask`, `TokenBucketTask`, `PerUserRateLimitTask`, `StaticRateLimitTask`,
    `DynamicRateLimitTask`, `AdaptiveRateLimitTask`, `ConcurrencyLimitTask`; `compose` makes one
    class of several

Changing what counts while workers run:
    `RateLimitManager`

Errors:
    `RatekitError` and, below it, all of `celery_ratekit.errors`
"""

from .errors import RatekitError
from .limiter import Decision, Limiter
from .limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)
from .manager import RateLimitManager
from .rates import Rate
from .tasks import (
    AdaptiveRateLimitTask,
    ConcurrencyLimitTask,
    DynamicRateLimitTask,
    PerUserRateLimitTask,
    RateLimitedTask,
    StaticRateLimitTask,
    TokenBucketTask,
    compose,
)

__version__ = "0.1.0"

__all__ = [
    "AdaptiveRateLimitTask",
    "Concurrency",
    "ConcurrencyLimitTask",
    "Decision",
    "DynamicRateLimitTask",
    "FixedWindow",
    "Limit",
    "Limiter",
    "PerUserRateLimitTask",
    "Rate",
    "RateLimitManager",
    "RateLimitedTask",
    "RatekitError",
    "ScheduledBucket",
    "SlidingWindow",
    "StaticRateLimitTask",
    "TokenBucket",
    "TokenBucketTask",
    "compose",
]
