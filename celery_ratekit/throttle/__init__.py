"""Throttled queues: named limits with a backlog, made, submitted to and changed at run time."""

from ..errors import QueueNotFound
from .config import CeleryConfig, CeleryThrottleConfig, RedisConfig
from .queue_manager import QueueManager, UniversalQueueManager
from .stats import QueueConfig, QueueStats, WorkerInfo, WorkerQueueInfo
from .tasks import RateLimitedTaskProcessor, RateLimitedTaskSubmitter
from .throttle import CeleryThrottle

__all__ = [
    "CeleryConfig",
    "CeleryThrottle",
    "CeleryThrottleConfig",
    "QueueConfig",
    "QueueManager",
    "QueueNotFound",
    "QueueStats",
    "RateLimitedTaskProcessor",
    "RateLimitedTaskSubmitter",
    "RedisConfig",
    "UniversalQueueManager",
    "WorkerInfo",
    "WorkerQueueInfo",
]
