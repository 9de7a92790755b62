"""Task classes: subclass or pass as ``base=`` to limit how often a task starts."""

from .base import RateLimitedTask
from .call import Call
from .token_bucket import TokenBucketTask

__all__ = ["Call", "RateLimitedTask", "TokenBucketTask"]
