"""Asks Redis, the broker and the workers for what the checks look at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ...backlog.values import Sizes
from ...errors import (
    BrokerUnavailableError,
    LimiterUnavailableError,
    RatekitError,
    RedisNotConfiguredError,
)
from ...manager import RateLimitManager
from ...manager.known import Known
from ...rules import BACKLOG, HOLD
from ...settings import Settings
from ...tasks.runtime import runtime_of
from ...worker.backlog.overflow_choice import is_same_server, overflow_of
from ..broker import broker_connection, broker_kind
from ..monitoring.seen import worker_seen
from ..redis_client import client_for_looking, one_server
from .facts import BrokerFacts, Facts, RedisFacts, WorkerFacts

__all__ = ["gather"]

PINGS = 10
MOST_PREFIXES = 20
REPLY_SECONDS = 1.0


def gather(app: Any) -> Facts:
    """All facts; what cannot be reached is told in them."""
    settings = runtime_of(app).settings
    redis, redis_error = _redis(settings)
    broker, workers = _broker_and_workers(app, settings)
    sizes, disagreements = _of_limits(app) if redis is not None else ({}, {})
    limits = [one.limit for one in Known(app).limits() if one.limit is not None]
    overflows = _overflows(app, settings)
    waiting = {queue: one.waiting for queue, one in sizes.items()}
    return Facts(
        redis=redis,
        redis_error=redis_error,
        redis_timeout_seconds=settings.redis_timeout,
        broker=broker,
        limits=limits,
        uses_backlog=BACKLOG in overflows or any(waiting.values()),
        holds=HOLD in overflows,
        max_reschedule_seconds=settings.max_reschedule,
        prefetch_multiplier=int(app.conf.worker_prefetch_multiplier or 0),
        waiting=waiting,
        throttled=_throttled(app, sizes),
        workers=workers,
        disagreements=disagreements,
    )


def _overflows(app: Any, settings: Settings) -> set[str]:
    """Where limited tasks wait."""
    book = runtime_of(app).book
    limited = [task for task in app.tasks.values() if book.plan(task).is_limited]
    return {overflow_of(app, task, settings) for task in limited}


def _redis(settings: Settings) -> tuple[RedisFacts | None, str]:
    try:
        client = one_server(client_for_looking(settings))
        info: Mapping[str, Any] = client.info()
        pings_ms = [_ping_ms(client) for _ in range(PINGS)]
    except (RedisError, RedisNotConfiguredError, OSError) as error:
        return None, str(error) or type(error).__name__
    config = _config(client)
    return RedisFacts(
        pings_ms=pings_ms,
        version=str(info.get("redis_version", "")),
        has_append_file=bool(info["aof_enabled"]) if "aof_enabled" in info else None,
        fsync=config.get("appendfsync"),
        has_save_points=bool(config["save"].strip()) if "save" in config else None,
        max_memory=info.get("maxmemory"),
        eviction=info.get("maxmemory_policy"),
        config_file=str(info.get("config_file", "")),
    ), ""


def _ping_ms(client: Any) -> float:
    begin = time.perf_counter()
    client.ping()
    return (time.perf_counter() - begin) * 1000


def _config(client: Any) -> dict[str, str]:
    """What CONFIG tells; nothing where hosted servers forbid it."""
    found: dict[str, str] = {}
    for name in ("appendfsync", "save"):
        with suppress(ResponseError):
            found.update({str(one): str(value) for one, value in client.config_get(name).items()})
    return found


def _broker_and_workers(app: Any, settings: Settings) -> tuple[BrokerFacts, dict[str, WorkerFacts]]:
    options = app.conf.broker_transport_options or {}
    workers, problem = {}, ""
    try:
        with broker_connection(app) as connection:
            workers = _workers(app, connection)
    except BrokerUnavailableError as error:
        problem = str(error)
    timeout = options.get("visibility_timeout")
    is_same = is_same_server(app.conf.broker_read_url, settings.redis_url)
    seconds = None if timeout is None else float(timeout)
    return BrokerFacts(broker_kind(app), is_same, seconds, problem), workers


def _workers(app: Any, connection: Any) -> dict[str, WorkerFacts]:
    """Every worker that answers, also one that does not know our question."""
    inspect = partial(app.control.inspect, timeout=REPLY_SECONDS, connection=connection)
    stats = inspect().stats() or {}
    if not stats:
        return {}
    # Who has answered is known now: nobody waits for others.
    of_those = inspect(destination=list(stats))
    seen, queues = of_those._request("ratekit") or {}, of_those.active_queues() or {}
    return {
        str(name): WorkerFacts(
            worker_seen(seen.get(name)), _queue_names(queues.get(name)), _prefetch(said)
        )
        for name, said in stats.items()
    }


def _queue_names(queues: Any) -> frozenset[str]:
    if not isinstance(queues, list):
        return frozenset()
    return frozenset(str(one.get("name")) for one in queues if isinstance(one, Mapping))


def _prefetch(stats: Any) -> int | None:
    count = stats.get("prefetch_count") if isinstance(stats, Mapping) else None
    return count if isinstance(count, int) else None


def _of_limits(app: Any) -> tuple[dict[str, Sizes], dict[str, tuple[str, ...]]]:
    """What waits in the backlog, and what workers do not agree on."""
    backlog = runtime_of(app).backlog
    try:
        sizes = {one: backlog.sizes(one, most_groups=0) for one in backlog.queues()}
        rates = RateLimitManager(app).current_rates()
    except LimiterUnavailableError:
        return {}, {}  # It was there a moment ago: there is nothing to tell of.
    return sizes, {one.name: one.disagreement for one in rates.values() if one.disagreement}


def _throttled(app: Any, sizes: Mapping[str, Sizes]) -> dict[str, int]:
    """How many of those that wait in each queue wait for throttled queues."""
    names = {name for one in sizes.values() for name in one.by_limit}
    prefixes = sorted(
        {prefix for prefix, slash, _ in (one.partition("/") for one in names) if slash}
    )
    known: set[str] = set()
    for prefix in prefixes[:MOST_PREFIXES]:
        with suppress(RatekitError):  # A limit's name may have a slash too.
            known |= {one.place.limit_name for one in runtime_of(app).queue_store(prefix).all()}
    return {
        queue: sum(count for name, count in one.by_limit.items() if name in known)
        for queue, one in sizes.items()
    }
