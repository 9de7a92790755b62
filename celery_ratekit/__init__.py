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

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "errors": ("RatekitError",),
    "limiter": ("Decision", "Limiter"),
    "limits": (
        "Concurrency",
        "FixedWindow",
        "Limit",
        "ScheduledBucket",
        "SlidingWindow",
        "TokenBucket",
    ),
    "manager": ("RateLimitManager",),
    "rates": ("Rate",),
    "tasks": (
        "AdaptiveRateLimitTask",
        "ConcurrencyLimitTask",
        "DynamicRateLimitTask",
        "PerUserRateLimitTask",
        "RateLimitedTask",
        "StaticRateLimitTask",
        "TokenBucketTask",
        "compose",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # Else every misspelt name would pass the checks of types.

    def __getattr__(name: str) -> Any:
        """Loads what is asked for: who needs a rate need not wait for Celery."""
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
