"""What a throttle is configured with: arguments, else the environment, else defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..errors import BadOptionError, did_you_mean
from ..queues.places import checked_prefix

__all__ = ["PREFIX", "CeleryConfig", "CeleryThrottleConfig", "RedisConfig"]

PREFIX = "CELERY_THROTTLE_"


class _Checked(BaseSettings):
    """Settings that are checked when they are made; what is wrong is a BadOptionError."""

    model_config = SettingsConfigDict(extra="forbid", env_ignore_empty=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise BadOptionError(_message(type(self), error)) from error


class RedisConfig(_Checked):
    """Where the Redis is that keeps the queues.

    ``host`` (default localhost), ``port`` (6379), ``db`` (0) and ``password`` (None).
    ``decode_responses`` (False) is for the client that `CeleryThrottle.redis` gives.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX + "REDIS_")

    host: str = Field(default="localhost", min_length=1)
    port: int = Field(default=6_379, ge=1, le=65_535)
    db: int = Field(default=0, ge=0)
    password: str | None = None
    decode_responses: bool = False

    @property
    def url(self) -> str:
        """Its address."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{login}{host}:{self.port}/{self.db}"


class CeleryConfig(_Checked):
    """What the Celery app is made with, where none is given, and how its workers run.

    ``broker_url`` (default: the Redis of the queues) and ``result_backend`` (default: the broker,
    where it is a Redis). ``worker_concurrency`` (1), ``worker_prefetch_multiplier`` (1) and
    ``task_acks_late`` (True). Other settings of Celery's may stand here too.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="allow")

    broker_url: str | None = None
    result_backend: str | None = None
    worker_concurrency: int = Field(default=1, ge=1)
    worker_prefetch_multiplier: int = Field(default=1, ge=0)
    task_acks_late: bool = True

    def settings(self) -> dict[str, Any]:
        """What goes into ``app.conf``."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class CeleryThrottleConfig(_Checked):
    """The configuration of one throttle.

    - ``app_name``: the name of the Celery app, where none is given; default celery-throttle.
    - ``queue_prefix``: the namespace of its queues; throttles with different ones never meet, also
      in one Redis. Letters, digits and ``_.-``; default throttle.
    - ``target_queue``: Celery's queue that its tasks go to; default: the prefix and
      ``_rate_limited``.
    - ``redis``, ``celery``: see RedisConfig and CeleryConfig, or dictionaries of the same.

    What is not given comes from the environment: ``CELERY_THROTTLE_`` and ``REDIS_HOST``,
    ``REDIS_PORT``, ``REDIS_DB``, ``REDIS_PASSWORD``, ``BROKER_URL``, ``RESULT_BACKEND``,
    ``APP_NAME``, ``TARGET_QUEUE``, ``QUEUE_PREFIX``, ``WORKER_CONCURRENCY``. Raises BadOptionError
    for what is misspelt or impossible.

    >>> config = CeleryThrottleConfig(queue_prefix="my_app", redis={"port": 6380})
    >>> config.target_queue, config.redis.url
    ('my_app_rate_limited', 'redis://localhost:6380/0')
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    app_name: str = Field(default="celery-throttle", min_length=1)
    queue_prefix: str = "throttle"
    target_queue: str = ""
    redis: RedisConfig = Field(default_factory=RedisConfig)
    celery: CeleryConfig = Field(default_factory=CeleryConfig)

    @field_validator("queue_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        return checked_prefix(value)

    @field_validator("redis", mode="before")
    @classmethod
    def _fill_redis(cls, value: Any) -> Any:
        return RedisConfig(**value) if isinstance(value, Mapping) else value

    @field_validator("celery", mode="before")
    @classmethod
    def _fill_celery(cls, value: Any) -> Any:
        return CeleryConfig(**value) if isinstance(value, Mapping) else value

    def model_post_init(self, _: Any, /) -> None:
        if not self.target_queue:
            self.target_queue = f"{self.queue_prefix}_rate_limited"

    @classmethod
    def from_env(cls, prefix: str = PREFIX) -> CeleryThrottleConfig:
        """What the environment says under another prefix."""
        return cls.from_dict(
            {
                "_env_prefix": prefix,
                "redis": {"_env_prefix": prefix + "REDIS_"},
                "celery": {"_env_prefix": prefix},
            }
        )

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> CeleryThrottleConfig:
        """What a dictionary says, with dictionaries under ``redis`` and ``celery``."""
        return cls(**given)

    @property
    def names_redis(self) -> bool:
        """Whether it was said where Redis is, not left to the default."""
        return bool(self.redis.model_fields_set & {"host", "port", "db", "password"})


def _message(kind: type[BaseSettings], error: ValidationError) -> str:
    """What is wrong, without the values: one may be a password."""
    problems = []
    for one in error.errors(include_input=False, include_url=False):
        name = ".".join(map(str, one["loc"]))
        near = did_you_mean(name, kind.model_fields) if one["type"] == "extra_forbidden" else ""
        problems.append(f"{name}: {one['msg']}{near}")
    return f"expected the settings of {kind.__name__}, got a wrong one: {'; '.join(problems)}"
