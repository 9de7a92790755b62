"""The limiter of each Celery app, made when it is first needed."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary, ref

from ..adaptive.learning import Learner
from ..adaptive.state import BY, REASON, SharedRates, Told
from ..backlog import Backlog
from ..limiter import LeaseKeeper, Limiter
from ..limiter.breaker import Degradation
from ..limiter.keys import KeySpace
from ..limiter.redis_url import RedisClient, client_from_url
from ..limiter.transport import Transport, transport_for
from ..queues import QueueBook, QueueStore
from ..settings import Settings, settings_of
from ..signals import limiter_degraded, rate_adjusted
from .limit_book import LimitBook

__all__ = ["Runtime", "runtime_of"]

logger = logging.getLogger(__name__)


class Runtime:
    """What a process keeps for one app: its settings, its limiter and a client of its Redis."""

    def __init__(self, app: Any) -> None:
        self.settings: Settings = settings_of(app)
        #: Whether throttled queues are used with the app, as far as this process knows.
        self.has_queues = False
        self._app = ref(app)  # It is the key under which this one is kept.

    @cached_property
    def limiter(self) -> Limiter:
        """The limiter that decides for the app's tasks; made when the first one is limited."""
        settings = self.settings
        return Limiter(
            settings.found_redis_url,
            redis_options=settings.redis_options,
            namespace=settings.namespace,
            hash_keys=settings.hash_keys,
            timeout_seconds=settings.redis_timeout,
            on_failure=settings.on_redis_failure,
            on_degraded=self._tell_degraded,
        )

    @cached_property
    def leases(self) -> LeaseKeeper:
        """Keeps the places of the calls that run in this process without a gate."""
        return LeaseKeeper(self.limiter)

    @cached_property
    def learner(self) -> Learner:
        """Learns the rates of adaptive limits from what the bodies in this process meet."""
        return Learner(SharedRates(self.limiter, on_told=self._tell_adjusted))

    @cached_property
    def backlog(self) -> Backlog:
        """Where tasks wait that may not start yet; it connects when it is first asked."""
        return Backlog(self._transport, self._keys)

    @cached_property
    def redis(self) -> RedisClient:
        """A client for other purposes than limits, without their short time-outs."""
        return client_from_url(self.settings.found_redis_url, **self.settings.redis_options)

    @cached_property
    def book(self) -> LimitBook:
        """Which limits hold for which of the app's tasks."""
        return LimitBook(self.settings, self.queues.limit)

    @cached_property
    def queues(self) -> QueueBook:
        """The throttled queues, of every prefix."""
        return QueueBook(self.queue_store)

    def queue_store(self, prefix: str) -> QueueStore:
        """The throttled queues of one prefix; raises BadOptionError for what can be none."""
        return QueueStore(self._transport, self._keys, prefix)

    @cached_property
    def _transport(self) -> Transport:
        settings = self.settings
        return transport_for(
            settings.found_redis_url,
            settings.redis_timeout,
            Degradation(),
            **settings.redis_options,
        )

    @property
    def _keys(self) -> KeySpace:
        return KeySpace(self.settings.namespace, hash_keys=self.settings.hash_keys)

    def _tell_adjusted(self, told: Told) -> None:
        rate_adjusted.send(
            sender=self._app(),
            name=told.name,
            key="",
            old=told.old,
            new=told.new,
            by=BY,
            reason=REASON,
        )

    def _tell_degraded(self, degraded: bool, error: BaseException | None) -> None:
        policy = self.settings.on_redis_failure
        if degraded:
            logger.warning(
                "rate limits: Redis does not answer, the policy %r decides: %s", policy, error
            )
        else:
            logger.warning("rate limits: Redis answers again")
        limiter_degraded.send(sender=self._app(), degraded=degraded, policy=policy, error=error)


def runtime_of(app: Any) -> Runtime:
    """The runtime of ``app``; raises BadOptionError where its settings are wrong."""
    runtime = _runtimes.get(app)
    if runtime is None:
        runtime = _runtimes.setdefault(app, Runtime(app))
    return runtime


_runtimes: WeakKeyDictionary[Any, Runtime] = WeakKeyDictionary()
