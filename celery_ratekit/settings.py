"""Settings: what ``app.conf`` says under the prefix ``ratekit_``, read and checked in one place."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from .errors import BadOptionError, RedisNotConfiguredError
from .limits import Limit, RateSource
from .patterns import by_pattern, matches
from .rules import (
    AUTO,
    ENFORCE,
    MODES,
    OVERFLOWS,
    Rule,
    check_choice,
    named_limits_from,
    rules_from,
)

__all__ = ["PREFIX", "Settings", "settings_of"]

PREFIX = "ratekit_"

ON_REDIS_FAILURE = ("wait", "allow", "share")

MAX_FREEZE_SECONDS = 31 * 86_400
"""The longest ``max_freeze``: some services count by the month."""

MAX_PORT = 65_535

REDIS_SCHEMES = ("redis", "rediss", "unix", "socket", "sentinel", "sentinels")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, without the prefix that it has in ``app.conf``, with its default.

    - ``enabled``: False lets every task run unlimited, as without this package. A mapping from
      task name patterns to True or False: the first that matches decides; True where none does.
    - ``gate``: False leaves out the gate in workers; limited tasks then send themselves again to
      their reserved start.
    - ``mode``: ``"enforce"``, or ``"shadow"``: all limits are decided and counted, but every task
      runs.
    - ``rules``: limits by task name patterns, see `celery_ratekit.rules.rules_from`; `task_rules`
      has them ready for use.
    - ``limits``: rates or limits by their names, from which a message may choose; `named_limits`
      has them ready for use.
    - ``redis_url``: where limits are kept; default: the broker, else the result backend, where
      that is Redis. Forms: see `celery_ratekit.limiter.redis_url.client_from_url`.
    - ``redis_options``: keyword arguments for the client, such as ``ssl_ca_certs`` or
      ``master_name``.
    - ``redis_timeout``: seconds to connect, and for each answer.
    - ``namespace``: part of every key in Redis; apps that share limits share it.
    - ``hash_keys``: keep limits' keys (user ids) unreadable in Redis.
    - ``on_redis_failure``: ``"wait"``: tasks wait until Redis is back; ``"allow"``: they run
      unlimited; ``"share"``: each process keeps to rate / processes last seen.
    - ``max_reschedule``: the longest that the gate holds a task before it sends it again, and that
      a task without a gate is put off at a time, seconds. Keep it well below the broker's
      visibility or consumer time-out, after which it delivers again.
    - ``overflow``: where a task waits that its limits do not let start within a worker with the
      gate. ``"hold"``: in the worker, in its window of prefetched messages. ``"backlog"``: in the
      backlog in Redis, where it stands in nobody's way. ``"auto"``: in the backlog where the Redis
      that keeps the limits is the broker's own server, else in the worker.
    - ``max_backlog``: how many tasks of a queue may be in the backlog for limits of one name, with
      those that workers have taken out and that are not over; more are held in their workers. None:
      any number.
    - ``max_freeze``: the longest freeze of a limit that a value from a stranger, such as a
      service's retry-after, may cause, seconds.
    - ``metrics_port``: each worker serves Prometheus' metrics under this port; 0: any free one,
      which its log names. None: no worker does.
    - ``metrics_host``: the address under which they are served. Metrics have no password: who can
      reach it can read them.
    - ``metrics_max_limits``: how many names of tasks, of limits and of queues metrics have as
      labels, each; what comes beyond is counted as ``other``.

    Raises BadOptionError for a value that is impossible.
    """

    enabled: bool | Mapping[str, bool] = True
    gate: bool = True
    mode: str = ENFORCE
    rules: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Limit | RateSource] = field(default_factory=dict)
    redis_url: str | None = None
    redis_options: Mapping[str, Any] = field(default_factory=dict)
    redis_timeout: float = 0.5
    namespace: str = "ratekit"
    hash_keys: bool = False
    on_redis_failure: str = "wait"
    max_reschedule: float = 600.0
    overflow: str = AUTO
    max_backlog: int | None = None
    max_freeze: float = 3_600.0
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_max_limits: int = 200

    task_rules: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    named_limits: Mapping[str, Limit] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_type("hash_keys", self.hash_keys, bool, "True or False")
        _check_type("namespace", self.namespace, str, "a text")
        _check_type("redis_options", self.redis_options, Mapping, "a dictionary")
        if self.redis_url is not None:
            _check_type("redis_url", self.redis_url, str, "a Redis address or None")
        _check_seconds("redis_timeout", self.redis_timeout, most=60)
        _check_seconds("max_reschedule", self.max_reschedule, most=86_400)
        _check_seconds("max_freeze", self.max_freeze, most=MAX_FREEZE_SECONDS)
        check_choice(self.on_redis_failure, ON_REDIS_FAILURE, f"{PREFIX}on_redis_failure")
        _check_type("gate", self.gate, bool, "True or False")
        check_choice(self.mode, MODES, f"{PREFIX}mode")
        check_choice(self.overflow, OVERFLOWS, f"{PREFIX}overflow")
        _check_count("max_backlog", self.max_backlog)
        _check_port("metrics_port", self.metrics_port)
        _check_type("metrics_host", self.metrics_host, str, "an address")
        _check_count("metrics_max_limits", self.metrics_max_limits, or_none=False)
        put = object.__setattr__
        put(self, "enabled", _checked_enabled(self.enabled))
        put(self, "task_rules", rules_from(self.rules, f"{PREFIX}rules"))
        put(self, "named_limits", named_limits_from(self.limits, f"{PREFIX}limits"))

    def is_enabled(self, task_name: str) -> bool:
        """Whether the task of this name is limited at all, as ``enabled`` says."""
        if isinstance(self.enabled, bool):
            return self.enabled
        return next(
            (on for pattern, on in self.enabled.items() if matches(pattern, task_name)), True
        )

    @property
    def found_redis_url(self) -> str:
        """The address of the Redis that keeps the limits.

        Raises RedisNotConfiguredError where neither a setting nor Celery's own addresses give one.
        """
        if self.redis_url is None:
            raise RedisNotConfiguredError(
                f"expected {PREFIX}redis_url, since neither the broker nor the result backend is "
                'a Redis; set for example app.conf.ratekit_redis_url = "redis://localhost:6379/0"'
            )
        return self.redis_url


def settings_of(app: Any) -> Settings:
    """The settings of a Celery app.

    Raises BadOptionError for a name that is misspelt or a value that is impossible.
    """
    given = _given(app)
    _check_names(given)
    if given.get("redis_url") is None:
        url, options = _redis_of_celery(app.conf)
        own = given.get("redis_options", {})
        given["redis_url"] = url
        given["redis_options"] = {**options, **own} if isinstance(own, Mapping) else own
    return Settings(**given)


def _check_names(given: Iterable[str]) -> None:
    known = [one.name for one in dataclasses.fields(Settings) if one.init]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {PREFIX + near[0]!r}?" if near else "see the settings page"
            raise BadOptionError(f"there is no setting {PREFIX + name!r:.80}; {advice}")


def _given(app: Any) -> dict[str, Any]:
    """What the app says under our prefix, behind its namespace (Django's is CELERY) or without."""
    conf = app.conf
    namespace = f"{app.namespace or 'celery'}_".lower()
    given = {}
    for key in conf:
        name = key.lower().removeprefix(namespace)
        if name.startswith(PREFIX):
            # Where it stands in both forms, Celery's own order counts.
            given[name.removeprefix(PREFIX)] = conf.get(name, conf[key])
    return given


def _redis_of_celery(conf: Any) -> tuple[str | None, dict[str, Any]]:
    """The first of Celery's own addresses that is a Redis, and the options that go with it."""
    candidates = (
        (conf.broker_write_url, conf.broker_transport_options, conf.broker_use_ssl),
        (
            conf.result_backend,
            conf.result_backend_transport_options,
            conf.redis_backend_use_ssl,
        ),
    )
    for urls, transport_options, use_ssl in candidates:
        for url in _split(urls):
            if url.partition("://")[0].lower().removeprefix("redis+") in REDIS_SCHEMES:
                return url, _client_options(transport_options or {}, use_ssl)
    return None, {}


def _split(urls: object) -> list[str]:
    """Celery takes a list of addresses, or several joined by semicolons."""
    if not isinstance(urls, str):
        urls = ";".join(map(str, urls)) if isinstance(urls, Iterable) else ""
    # All of a Sentinel's addresses belong together.
    return [urls] if urls.startswith("sentinel") else urls.split(";")


def _client_options(transport_options: Mapping[str, Any], use_ssl: object) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: transport_options[name]
        for name in ("master_name", "min_other_sentinels", "sentinel_kwargs")
        if name in transport_options
    }
    if isinstance(use_ssl, Mapping):
        options.update(use_ssl)
    return options


def _checked_enabled(value: object) -> bool | Mapping[str, bool]:
    where = f"{PREFIX}enabled"
    if isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        raise BadOptionError(
            f"expected True or False for {where}, got {value!r:.60}; for some tasks only write for "
            'example {"reports.*": False}'
        )
    for pattern, on in by_pattern(value, where, '{"reports.*": False}').items():
        _check_type(f"enabled[{pattern!r:.60}]", on, bool, "True or False")
    return dict(value) or True  # An empty one switches nothing off, and must not read as False.


def _check_type(name: str, value: object, expected: Any, words: str) -> None:
    if not isinstance(value, expected):
        raise BadOptionError(f"expected {words} for {PREFIX}{name}, got {value!r:.60}")


def _check_count(name: str, value: object, *, or_none: bool = True) -> None:
    if value is None and or_none:
        return
    if not _is_whole(value) or value < 1:
        none = ", or None," if or_none else ""
        raise BadOptionError(
            f"expected a whole number of at least 1{none} for {PREFIX}{name}, got {value!r:.60}"
        )


def _check_port(name: str, value: object) -> None:
    if value is not None and not (_is_whole(value) and 0 <= value <= MAX_PORT):
        raise BadOptionError(
            f"expected a port from 0 (any) to {MAX_PORT}, or None, for {PREFIX}{name}, got "
            f"{value!r:.60}"
        )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_seconds(name: str, value: object, *, most: int) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not (math.isfinite(value) and 0 < value <= most)
    ):
        raise BadOptionError(
            f"expected seconds, more than 0 and at most {most}, for {PREFIX}{name}, got "
            f"{value!r:.60}"
        )
