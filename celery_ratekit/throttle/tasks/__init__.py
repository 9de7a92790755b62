"""The task of throttled queues that takes plain data, and who submits to it."""

from .processor import RateLimitedTaskProcessor
from .submitter import RateLimitedTaskSubmitter

__all__ = ["RateLimitedTaskProcessor", "RateLimitedTaskSubmitter"]
