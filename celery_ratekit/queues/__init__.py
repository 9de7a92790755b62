"""Throttled queues as they stand in Redis: what each allows, and which of its tasks are open."""

from .lost import Runner, settle_lost
from .places import QUEUE_HEADER, QueuePlace, place_of
from .records import QueueRecord
from .store import QueueStore
from .view import QueueBook

__all__ = [
    "QUEUE_HEADER",
    "QueueBook",
    "QueuePlace",
    "QueueRecord",
    "QueueStore",
    "Runner",
    "place_of",
    "settle_lost",
]
