"""Settings: what ``app.conf`` says under the prefix ``ratekit_``, read and checked in one place."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import BadOptionError, RedisNotConfiguredError, did_you_mean

__all__ = ["PREFIX", "Settings", "settings_of"]

PREFIX = "ratekit_"

ON_REDIS_FAILURE = ("wait", "allow", "share")
REDIS_SCHEMES = ("redis", "rediss", "unix", "socket", "sentinel", "sentinels")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, without the prefix that it has in ``app.conf``, with its default.

    - ``enabled``: False lets every task run unlimited, as without this package.
    - ``redis_url``: where limits are kept; default: the broker, else the result backend, where
      that is Redis. Forms: see `celery_ratekit.limiter.redis_url.client_from_url`.
    - ``redis_options``: keyword arguments for the client, such as ``ssl_ca_certs`` or
      ``master_name``.
    - ``redis_timeout``: seconds to connect, and for each answer.
    - ``namespace``: part of every key in Redis; apps that share limits share it.
    - ``hash_keys``: keep limits' keys (user ids) unreadable in Redis.
    - ``on_redis_failure``: ``"wait"``: tasks wait until Redis is back; ``"allow"``: they run
      unlimited; ``"share"``: each process keeps to rate / processes last seen.
    - ``max_reschedule``: the longest a task without a gate is put off at a time, seconds. Keep it
      well below the broker's visibility or consumer time-out, after which it delivers again.
    """

    enabled: bool = True
    redis_url: str | None = None
    redis_options: Mapping[str, Any] = field(default_factory=dict)
    redis_timeout: float = 0.5
    namespace: str = "ratekit"
    hash_keys: bool = False
    on_redis_failure: str = "wait"
    max_reschedule: float = 600.0

    def __post_init__(self) -> None:
        _check_type("enabled", self.enabled, bool, "True or False")
        _check_type("hash_keys", self.hash_keys, bool, "True or False")
        _check_type("namespace", self.namespace, str, "a text")
        _check_type("redis_options", self.redis_options, Mapping, "a dictionary")
        if self.redis_url is not None:
            _check_type("redis_url", self.redis_url, str, "a Redis address or None")
        _check_seconds("redis_timeout", self.redis_timeout, most=60)
        _check_seconds("max_reschedule", self.max_reschedule, most=86_400)
        if self.on_redis_failure not in ON_REDIS_FAILURE:
            known = ", ".join(map(repr, ON_REDIS_FAILURE))
            raise BadOptionError(
                f"expected one of {known} for {PREFIX}on_redis_failure, got "
                f"{self.on_redis_failure!r:.40}"
                f"{did_you_mean(str(self.on_redis_failure)[:40], ON_REDIS_FAILURE)}"
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
    known = [one.name for one in dataclasses.fields(Settings)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {PREFIX + near[0]!r}?" if near else "see the settings page"
            raise BadOptionError(f"there is no setting {PREFIX + name!r:.80}; {advice}")
    settings = Settings(**given)
    if settings.redis_url is not None:
        return settings
    url, options = _redis_of_celery(app.conf)
    return dataclasses.replace(
        settings, redis_url=url, redis_options={**options, **settings.redis_options}
    )


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


def _check_type(name: str, value: object, expected: Any, words: str) -> None:
    if not isinstance(value, expected):
        raise BadOptionError(f"expected {words} for {PREFIX}{name}, got {value!r:.60}")


def _check_seconds(name: str, value: object, *, most: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not (math.isfinite(value) and 0 < value <= most)
    ):
        raise BadOptionError(
            f"expected seconds, more than 0 and at most {most:g}, for {PREFIX}{name}, got "
            f"{value!r:.60}"
        )
