"""Makes, changes and watches the throttled queues of one prefix."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..backlog import Backlog
from ..errors import BadOptionError, BadRateError, QueueNotFound
from ..limiter import Limiter
from ..limiter.breaker import Degradation
from ..limiter.keys import KeySpace
from ..limiter.redis_url import RedisClient
from ..limiter.transport import transport_for
from ..queues import QueueRecord, QueueStore, settle_lost
from ..queues.places import checked_name
from ..queues.store import Counts
from ..rates import Rate
from ..tasks.queue_ends import COMPLETED, FAILED
from .config import CeleryThrottleConfig
from .stats import QueueConfig, QueueStats

__all__ = ["QueueManager", "UniversalQueueManager"]

AUTO_PREFIX = "batch_"
TIMEOUT_SECONDS = 5.0
"""People wait for these answers; no worker's loop does."""


class QueueManager:
    """The throttled queues of one prefix.

    ``target_queue`` is Celery's queue that the tasks of new queues go to. All methods raise
    LimiterUnavailableError where Redis gives no answer; those about one queue that do not answer
    True or False raise QueueNotFound where there is none of the name.
    """

    def __init__(
        self, store: QueueStore, limiter: Limiter, backlog: Backlog, target_queue: str
    ) -> None:
        self._store = store
        self._limiter = limiter
        self._backlog = backlog
        self._target = target_queue

    @property
    def queue_prefix(self) -> str:
        """The namespace of the queues."""
        return self._store.prefix

    # -- queues -----------------------------------------------------------------------------

    def create_queue(self, rate_limit: Rate | str | float, queue_name: str | None = None) -> str:
        """The name of a new queue: the given one, or one of its own.

        A rate without a burst spaces starts evenly: ``"10/60s"`` is one each 6 s. Raises
        BadRateError for a rate that cannot be kept, and BadOptionError where there is a queue of
        the name already.
        """
        rate = _checked_rate(rate_limit)
        self.cleanup_empty()
        name = f"{AUTO_PREFIX}{uuid.uuid4()}" if queue_name is None else checked_name(queue_name)
        record = QueueRecord(
            self._store.place(name),
            str(rate),
            self._target,
            is_active=True,
            is_auto_named=queue_name is None,
            created_us=time.time_ns() // 1_000,
        )
        made = self._store.create(record)
        if made < 0:
            raise BadOptionError(
                "expected fewer throttled queues under one prefix, got more than are kept; remove "
                "some, or give many keys one limit of a task"
            )
        if not made:
            raise BadOptionError(
                f"expected a name that no throttled queue has, got {name!r:.80}; change that one "
                "with update_rate_limit, or remove it before"
            )
        return name

    def remove_queue(self, queue_name: str) -> bool:
        """Removes a queue with all that waits in it; whether there was one.

        What a worker has taken already and not begun fails with QueueNotFound.
        """
        record = self._store.get(queue_name)
        if record is None or not self._store.remove(queue_name):
            return False
        self._backlog.purge(record.target, limit_name=record.place.limit_name)
        self._limiter.reset(record.limit)
        return True

    def update_rate_limit(self, queue_name: str, rate_limit: Rate | str | float) -> bool:
        """Gives a queue another rate, for what waits too; whether there is such a queue.

        Every worker keeps to it within a second. The tokens that are there stay.
        """
        rate = _checked_rate(rate_limit)

        def change(record: QueueRecord) -> QueueRecord:
            is_lower = rate.per_second < record.parsed_rate.per_second
            lowered_us = time.time_ns() // 1_000 if is_lower else record.lowered_us
            return dataclasses.replace(record, rate=str(rate), lowered_us=lowered_us)

        return self._change(queue_name, change)

    def activate_queue(self, queue_name: str) -> bool:
        """Lets a queue's tasks start again; whether there is such a queue."""
        return self._change(queue_name, lambda one: dataclasses.replace(one, is_active=True))

    def deactivate_queue(self, queue_name: str) -> bool:
        """Lets no task of a queue start until it is activated; whether there is such a queue.

        What is submitted meanwhile waits.
        """
        return self._change(queue_name, lambda one: dataclasses.replace(one, is_active=False))

    def _change(self, queue_name: str, change: Any) -> bool:
        record = self._store.change(queue_name, change)
        if record is None:
            return False
        name = record.place.limit_name
        self._backlog.wake(record.target, limit_name=name)
        self._limiter.overrides.tell([name])
        return True

    def cleanup_empty(self) -> int:
        """Removes queues without a name of their own that are empty and idle; how many."""
        self._settle_lost()
        return self._store.expire()

    # -- looking ----------------------------------------------------------------------------

    def queue_exists(self, queue_name: str) -> bool:
        """Whether there is such a queue."""
        return self._store.get(queue_name) is not None

    def get_queue_config(self, queue_name: str) -> QueueConfig:
        """What a queue is."""
        return _config_of(self.record(queue_name))

    def list_queues(self) -> list[QueueConfig]:
        """Every queue, the oldest first."""
        self.cleanup_empty()
        return [_config_of(one) for one in self._records()]

    def get_queue_stats(self, queue_name: str) -> QueueStats:
        """How many tasks a queue has."""
        record = self.record(queue_name)
        (stats,) = self._stats_of([record])
        return stats

    def all_stats(self) -> list[QueueStats]:
        """The same of every queue, in few round trips, the oldest first."""
        return self._stats_of(self._records())

    def get_rate_limit_status(self, queue_name: str) -> dict[str, float]:
        """What a queue's limit holds now.

        ``available_tokens``: how many tasks could start now. ``capacity``: how many at most after a
        pause. ``refill_rate``: tokens per second. ``next_token_in``: seconds until a task may start
        (infinite while deactivated), ``next_token_at`` the same since 1970.
        """
        record = self.record(queue_name)
        (state,) = self._limiter.inspect(record.limit)
        wait = state.wait_seconds
        return {
            "available_tokens": max(0.0, state.available),
            "capacity": record.burst,
            "refill_rate": record.limit.rate.per_second,
            "next_token_in": wait,
            "next_token_at": time.time() + wait,
        }

    def target_queues(self) -> list[str]:
        """Celery's queues that tasks of these queues go to."""
        return sorted({self._target, *(one.target for one in self._store.all())})

    def record(self, queue_name: str) -> QueueRecord:
        """All that is kept of a queue."""
        record = self._store.get(queue_name)
        if record is None:
            raise QueueNotFound(queue_name, self.queue_prefix)
        return record

    def _records(self) -> list[QueueRecord]:
        found = {one.place.name: one for one in self._store.all()}  # A scan may repeat itself.
        return sorted(found.values(), key=lambda one: (one.created_us, one.place.name))

    def _settle_lost(self) -> None:
        settle_lost(self._store, self._backlog, FAILED)

    def _stats_of(self, records: list[QueueRecord]) -> list[QueueStats]:
        self._settle_lost()
        waiting: Mapping[str, int] = {}
        targets = {one.target for one in records}
        for target in sorted(targets):
            by_limit = self._backlog.sizes(target, most_groups=0).by_limit
            waiting = {**waiting, **by_limit}
        counts = self._store.counts([one.place.name for one in records])
        return [
            _stats(one, waiting.get(one.place.limit_name, 0), of_one)
            for one, of_one in zip(records, counts, strict=True)
        ]

    # -- for those who process tasks themselves -----------------------------------------------

    def can_process_task(self, queue_name: str) -> tuple[bool, float]:
        """Takes a token of the queue, if there is one: (True, 0.0), else (False, seconds)."""
        decision = self._limiter.acquire(self.record(queue_name).limit)
        return decision.granted, decision.wait_seconds

    def increment_stat(self, queue_name: str, stat: str, amount: int = 1) -> int:
        """Adds to a counter of a queue, such as ``"completed"``; what it says then."""
        self.record(queue_name)
        return self._store.count(queue_name, checked_name(stat), amount)


class UniversalQueueManager(QueueManager):
    """The queues under a prefix of the Redis that a redis-py client is connected to.

    ``queue_prefix`` and ``target_queue`` as in CeleryThrottleConfig, from which they are taken
    where they are not given.
    """

    def __init__(
        self,
        redis_client: RedisClient,
        queue_prefix: str | None = None,
        target_queue: str | None = None,
    ) -> None:
        given = {"queue_prefix": queue_prefix, "target_queue": target_queue}
        config = CeleryThrottleConfig.from_dict({k: v for k, v in given.items() if v is not None})
        prefix = config.queue_prefix
        transport = transport_for(redis_client, TIMEOUT_SECONDS, Degradation())
        keys = KeySpace(prefix)
        super().__init__(
            QueueStore(transport, keys, prefix),
            Limiter(redis_client, namespace=prefix, timeout_seconds=TIMEOUT_SECONDS),
            Backlog(transport, keys),
            config.target_queue,
        )


def _checked_rate(rate_limit: Rate | str | float) -> Rate:
    rate = Rate.parse(rate_limit)
    if rate.burst is not None and rate.burst < 1:
        raise BadRateError(
            f"expected a burst of 1 or more for a throttled queue, got {rate}; no task could start"
        )
    return rate


def _config_of(record: QueueRecord) -> QueueConfig:
    return QueueConfig(
        record.place.name,
        record.parsed_rate,
        record.is_active,
        _moment(record),
        record.target,
        record.is_auto_named,
    )


def _stats(record: QueueRecord, waiting: int, counts: Counts) -> QueueStats:
    return QueueStats(
        record.place.name,
        waiting,
        max(0, counts.open - waiting),
        counts.counted.get(COMPLETED, 0),
        counts.counted.get(FAILED, 0),
        _moment(record),
        record.is_active,
        record.parsed_rate,
    )


def _moment(record: QueueRecord) -> datetime:
    return datetime.fromtimestamp(record.created_us / 1e6, timezone.utc)
