"""Token buckets whose tokens are messages in a queue of the broker."""

from .bucket import QueueBucket

__all__ = ["QueueBucket"]
