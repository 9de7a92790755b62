"""The front door of throttled queues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import redis
from celery.canvas import Signature

from ..errors import BadOptionError
from ..rates import Rate
from ..tasks.queue_ends import count_ends
from ..tasks.runtime import Runtime, runtime_of
from .apps import make_app, prepare_app, url_of_client
from .config import PREFIX, CeleryThrottleConfig
from .queue_manager import QueueManager
from .stats import QueueConfig, QueueStats, WorkerInfo, WorkerQueueInfo
from .submitting import Submitter
from .tasks.processor import RateLimitedTaskProcessor
from .workers import Workers, run_worker

if TYPE_CHECKING:
    from .dispatch.dispatcher import Dispatcher
    from .dispatch.outbox import Outbox

__all__ = ["CeleryThrottle"]

MOST_AT_ONCE = 1_000
"""How many tasks are brought to Redis at a time, so that nobody else waits for long."""


class CeleryThrottle:
    """Throttled queues: named limits with a backlog, made, submitted to and changed at run time.

        throttle = CeleryThrottle(celery_app=app)
        throttle.create_queue("300/15m", "stripe")
        result = throttle.submit("stripe", charge.s(customer))

    - ``celery_app``: the app whose workers run the tasks; default: one of its own, made from the
      configuration.
    - ``redis_client``: a redis-py client of the Redis that keeps the queues; default: what
      ``config.redis`` says, else what the app has.
    - ``config``: default: what the environment says, see CeleryThrottleConfig; ``overrides`` are
      single fields of it.
    - ``task_processor``, ``task_processor_cls``: who takes the data of `submit_task`, see
      RateLimitedTaskProcessor.

    A queue's rate is kept over all workers that have the gate, as each of the app's has that
    imports the module in which this stands. They pull what waits by themselves; plain workers need
    `run_dispatcher`. Raises BadOptionError for settings that are impossible.
    """

    def __init__(
        self,
        celery_app: Any = None,
        redis_client: Any = None,
        config: CeleryThrottleConfig | None = None,
        task_processor: RateLimitedTaskProcessor | None = None,
        task_processor_cls: type[RateLimitedTaskProcessor] | None = None,
        **overrides: Any,
    ) -> None:
        self.config = _configured(config, overrides)
        url = None if redis_client is None else url_of_client(redis_client)
        if celery_app is None:
            celery_app = make_app(self.config, url)
        else:
            named = self.config.redis.url if self.config.names_redis else None
            prepare_app(celery_app, url or named)
        #: The Celery app.
        self.app = celery_app
        self._client = redis_client
        self.runtime.has_queues = True
        _ = self.runtime.settings.found_redis_url  # There are no queues without one.
        count_ends()
        make = task_processor_cls or RateLimitedTaskProcessor
        self._processor = task_processor or make(self.app, self.redis, self.queue_manager)

    @classmethod
    def from_env(cls, prefix: str = PREFIX, **arguments: Any) -> CeleryThrottle:
        """A throttle that is configured by environment variables that begin with ``prefix``."""
        return cls(config=CeleryThrottleConfig.from_env(prefix), **arguments)

    @classmethod
    def from_config_dict(cls, config_dict: Mapping[str, Any], **arguments: Any) -> CeleryThrottle:
        """A throttle that is configured by a dictionary."""
        return cls(config=CeleryThrottleConfig.from_dict(config_dict), **arguments)

    @property
    def runtime(self) -> Runtime:
        """The limiter, the backlog and the settings of the app."""
        return runtime_of(self.app)

    @cached_property
    def redis(self) -> Any:
        """A redis-py client of the Redis that keeps the queues."""
        if self._client is not None:
            return self._client
        options = dict(self.runtime.settings.redis_options)
        url = self.runtime.settings.found_redis_url
        if url.startswith(("redis://", "rediss://", "unix://")):
            options.setdefault("decode_responses", self.config.redis.decode_responses)
            return redis.Redis.from_url(url, **options)
        return self.runtime.redis

    @cached_property
    def queue_manager(self) -> QueueManager:
        """The queues of the throttle's prefix."""
        runtime = self.runtime
        store = runtime.queues.view(self.config.queue_prefix).store
        return QueueManager(store, runtime.limiter, runtime.backlog, self.config.target_queue)

    @property
    def task_processor(self) -> RateLimitedTaskProcessor:
        """Who takes the data of `submit_task`; another may be assigned."""
        return self._processor

    @task_processor.setter
    def task_processor(self, processor: RateLimitedTaskProcessor) -> None:
        if not hasattr(processor, "process_rate_limited_task"):
            raise BadOptionError(
                "expected a processor with the task process_rate_limited_task, got "
                f"{type(processor).__name__!r:.60}; assign the task in _register_task"
            )
        self._processor = processor

    def set_task_processor(self, processor: RateLimitedTaskProcessor) -> None:
        """The same as assigning it to `task_processor`."""
        self.task_processor = processor

    # -- queues -----------------------------------------------------------------------------

    def create_queue(self, rate_limit: Rate | str | float, queue_name: str | None = None) -> str:
        """As `QueueManager.create_queue`."""
        return self.queue_manager.create_queue(rate_limit, queue_name)

    def remove_queue(self, queue_name: str) -> bool:
        """As `QueueManager.remove_queue`."""
        return self.queue_manager.remove_queue(queue_name)

    def update_rate_limit(self, queue_name: str, rate_limit: Rate | str | float) -> bool:
        """As `QueueManager.update_rate_limit`."""
        return self.queue_manager.update_rate_limit(queue_name, rate_limit)

    def activate_queue(self, queue_name: str) -> bool:
        """As `QueueManager.activate_queue`."""
        return self.queue_manager.activate_queue(queue_name)

    def deactivate_queue(self, queue_name: str) -> bool:
        """As `QueueManager.deactivate_queue`."""
        return self.queue_manager.deactivate_queue(queue_name)

    def list_queues(self) -> list[QueueConfig]:
        """As `QueueManager.list_queues`."""
        return self.queue_manager.list_queues()

    def get_queue_stats(self, queue_name: str) -> QueueStats:
        """As `QueueManager.get_queue_stats`."""
        return self.queue_manager.get_queue_stats(queue_name)

    def get_rate_limit_status(self, queue_name: str) -> dict[str, float]:
        """As `QueueManager.get_rate_limit_status`."""
        return self.queue_manager.get_rate_limit_status(queue_name)

    # -- tasks ------------------------------------------------------------------------------

    def submit(self, queue_name: str, signature: Signature) -> Any:
        """The AsyncResult of a signature whose tasks start when the queue's rate lets them.

        ``task.s(...)``, with any options but an ETA or a countdown, or a chain, group or chord, of
        which each task obeys the rate. It goes to the queue's target queue. Raises QueueNotFound.
        """
        (result,), _ = self._submitter.submit(queue_name, [signature])
        return result

    def submit_many(self, queue_name: str, signatures: Iterable[Signature]) -> list[Any]:
        """The same for many, in few round trips."""
        return self._submit_all(queue_name, list(signatures))[0]

    def submit_task(self, queue_name: str, task_data: Mapping[str, Any]) -> bool:
        """Submits data for the `task_processor`. True: it was sent now; False: it waits."""
        return self._submit_all(queue_name, [self._signature(queue_name, task_data)])[1] == 1

    def submit_multiple_tasks(
        self, queue_name: str, tasks_data: Iterable[Mapping[str, Any]]
    ) -> dict[str, int]:
        """The same for many; how many were ``submitted`` now and how many ``queued``."""
        signatures = [self._signature(queue_name, one) for one in tasks_data]
        sent = self._submit_all(queue_name, signatures)[1]
        return {"submitted": sent, "queued": len(signatures) - sent}

    def _submit_all(self, queue_name: str, signatures: Sequence[Any]) -> tuple[list[Any], int]:
        results: list[Any] = []
        sent = 0
        for begin in range(0, len(signatures), MOST_AT_ONCE):
            some, now = self._submitter.submit(queue_name, signatures[begin : begin + MOST_AT_ONCE])
            results += some
            sent += now
        if not signatures:
            self.queue_manager.record(queue_name)
        return results, sent

    def _signature(self, queue_name: str, task_data: Mapping[str, Any]) -> Any:
        task = self._processor.process_rate_limited_task
        # A positional pair, as the task of any processor takes it.
        # Nobody is told its id, so nobody could ever ask for its result.
        return task.s(queue_name, task_data).set(ignore_result=True)

    @cached_property
    def _submitter(self) -> Submitter:
        return Submitter(self.app, self.runtime, self.config.queue_prefix)

    # -- programs ---------------------------------------------------------------------------

    def run_worker(self, queues: str | Sequence[str] | None = None, **options: Any) -> None:
        """Runs a worker in this process until it is told to stop.

        ``queues``: Celery's queues, as a list or a text with commas; default: the app's own and the
        target queue. Options: ``concurrency``, ``loglevel``, ``prefetch_multiplier``.
        """
        if queues is None:
            queues = [*self.app.amqp.queues.consume_from, self.config.target_queue]
        names = queues.split(",") if isinstance(queues, str) else list(queues)
        run_worker(self.app, dict.fromkeys(name.strip() for name in names), **options)

    def run_dedicated_worker(self, **options: Any) -> None:
        """Runs a worker that consumes nothing but the target queue."""
        self.run_worker([self.config.target_queue], **options)

    def run_dispatcher(self, interval: float = 1.0) -> None:
        """Sends what may start to plain workers, until this process is told to stop.

        Any number may run at once. ``interval``: the longest sleep, seconds.
        """
        from .dispatch.dispatching import run_dispatcher  # noqa: PLC0415 - only a dispatcher needs it

        run_dispatcher(self, interval)

    def make_dispatcher(self, outbox: Outbox) -> Dispatcher:
        """A dispatcher of the throttle's queues, that somebody has take its turns."""
        from .dispatch.dispatcher import Dispatcher  # noqa: PLC0415 - only a dispatcher needs it

        runtime = self.runtime
        return Dispatcher(
            backlog=runtime.backlog,
            limiter=runtime.limiter,
            queues=runtime.queues,
            prefix=self.config.queue_prefix,
            targets=self.queue_manager.target_queues,
            outbox=outbox,
        )

    # -- workers ----------------------------------------------------------------------------

    def get_worker_info(self) -> dict[str, WorkerInfo]:
        """Every worker that answers within a second, by name."""
        return self._workers.info()

    def get_worker_queue_summary(self) -> dict[str, WorkerQueueInfo]:
        """Every queue that a worker consumes, and the target queue, by name."""
        return self._workers.queues([self.config.target_queue])

    def get_worker_count(self) -> int:
        """How many workers answer within a second."""
        return len(self._workers.names())

    def is_worker_infrastructure_healthy(self) -> bool:
        """Whether a worker consumes the target queue."""
        summary = self.get_worker_queue_summary()
        return bool(summary[self.config.target_queue].workers_listening)

    @property
    def _workers(self) -> Workers:
        return Workers(self.app, self.runtime)


def _configured(
    config: CeleryThrottleConfig | None, overrides: Mapping[str, Any]
) -> CeleryThrottleConfig:
    if config is None:
        return CeleryThrottleConfig(**overrides)
    if not overrides:
        return config
    given = {name: getattr(config, name) for name in type(config).model_fields}
    if "queue_prefix" in overrides and "target_queue" not in config.model_fields_set:
        del given["target_queue"]
    return CeleryThrottleConfig(**{**given, **overrides})
