"""Looks at a deployment: asks Redis, the workers, and nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import RedisError

from ...backlog.values import Sizes
from ...errors import BrokerUnavailableError, RatekitError
from ...limiter.decision import LimitState
from ...limits import Limit
from ...manager import CurrentRate, RateLimitManager
from ...manager.known import Known
from ...tasks.runtime import runtime_of
from ..broker import broker_connection
from ..redis_client import client_for_looking, one_server
from .seen import QueueSeen, Seen, WorkerSeen, worker_seen

__all__ = ["Observer"]

COMMAND = "ratekit"
"""What workers are asked; see `celery_ratekit.worker.remote.control`."""

MOST_GROUPS = 1_000
MOST_QUEUES = 200
LIMITS_AT_ONCE = 50


class Observer:
    """Looks at the limits, the backlog and the workers of an app.

    ``reply_seconds``: how long workers have to answer. ``look_at_queues`` tells of throttled queues
    where there are any.
    """

    def __init__(
        self,
        app: Any,
        reply_seconds: float,
        look_at_queues: Callable[[], Sequence[QueueSeen]] = tuple,
    ) -> None:
        self._app = app
        self._reply_seconds = reply_seconds
        self._look_at_queues = look_at_queues
        self._manager = RateLimitManager(app)
        self._runtime = runtime_of(app)
        self._known = Known(app)
        self._client: Any = None

    def look(self) -> Seen:
        """What is there now; it takes at least as long as workers have to answer."""
        workers, broker_error = self._workers()
        at = time.time()
        try:
            redis_ms, version = self._redis()
            return Seen(
                at=at,
                redis_ms=redis_ms,
                redis_version=version,
                broker_error=broker_error,
                rates=self._rates(),
                states=self._states(),
                backlog=self._backlog(),
                workers=workers,
                queues=list(self._look_at_queues()),
            )
        except (RatekitError, RedisError, OSError) as error:
            problem = str(error) or type(error).__name__
            return Seen(at=at, redis_error=problem, broker_error=broker_error, workers=workers)

    def _redis(self) -> tuple[float, str]:
        if self._client is None:
            self._client = one_server(client_for_looking(self._runtime.settings))
        version = str(self._client.info("server").get("redis_version", ""))
        begin = time.perf_counter()
        self._client.ping()
        return (time.perf_counter() - begin) * 1000, version

    def _rates(self) -> dict[str, CurrentRate]:
        return self._manager.current_rates()

    def _states(self) -> list[LimitState]:
        limits = [_of_one_call(one.limit) for one in self._known.limits() if one.limit is not None]
        limits = [limit for limit in limits if limit.key == ""]
        inspect = self._runtime.limiter.inspect
        return [
            state
            for begin in range(0, len(limits), LIMITS_AT_ONCE)
            for state in inspect(limits[begin : begin + LIMITS_AT_ONCE])
        ]

    def _backlog(self) -> dict[str, Sizes]:
        backlog = self._runtime.backlog
        queues = backlog.queues()[:MOST_QUEUES]
        return {queue: backlog.sizes(queue, most_groups=MOST_GROUPS) for queue in queues}

    def _workers(self) -> tuple[dict[str, WorkerSeen], str]:
        """What each worker answered, and why nobody could be asked."""
        try:
            with broker_connection(self._app) as connection:
                inspector = self._app.control.inspect(
                    timeout=self._reply_seconds, connection=connection
                )
                replies = inspector._request(COMMAND) or {}
        except BrokerUnavailableError as error:
            return {}, str(error)
        return {str(name): worker_seen(reply) for name, reply in replies.items()}, ""


def _of_one_call(limit: Limit) -> Limit:
    return limit.with_cost(min(1, limit.capacity)) if callable(limit.cost) else limit
