"""What can be done with the tokens of one queue, on whatever broker."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any
from uuid import uuid4

from .refill import Refill

__all__ = ["TOKEN_TASK", "Tokens"]

TOKEN_TASK = "celery_ratekit.contrib.django.tasks.token_bucket_token"  # noqa: S105 - no secret
CONTENT_TYPE, ENCODING = "application/json", "utf-8"


class Tokens(ABC):
    """The tokens of one queue, never more than ``maximum``."""

    def __init__(self, channel: Any, queue_name: str, maximum: int) -> None:
        self.channel = channel
        self.queue_name = queue_name
        self.mark_name = f"{queue_name}.refilled"  # where the last instant is noted
        self.maximum = maximum

    @abstractmethod
    def refill(self, refill: Refill) -> int:
        """Adds what is due, up to the maximum, and notes that it was; returns how many."""

    @abstractmethod
    def count(self) -> int:
        """How many tokens there are."""

    def take(self) -> bool:
        """Whether there was a token; it is taken out."""
        return self.channel.basic_get(self.queue_name, no_ack=True) is not None

    def _token(self) -> Any:
        """A token: the message of a task that does nothing, should a worker consume the queue."""
        token_id = uuid4().hex
        embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        return self.channel.prepare_message(
            json.dumps([[], {}, embedded]),
            content_type=CONTENT_TYPE,
            content_encoding=ENCODING,
            headers={"lang": "py", "task": TOKEN_TASK, "id": token_id, "ignore_result": True},
            properties={"correlation_id": token_id, "delivery_mode": 2},
        )
