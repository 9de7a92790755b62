"""What a throttle is configured with: arguments, the environment, dictionaries."""

from __future__ import annotations

from typing import Any

import pytest

from celery_ratekit.errors import BadOptionError
from celery_ratekit.throttle.config import CeleryConfig, CeleryThrottleConfig, RedisConfig

DOCUMENTED = {
    "REDIS_HOST": "redis.example",
    "REDIS_PORT": "6380",
    "REDIS_DB": "1",
    "BROKER_URL": "redis://redis.example:6380/1",
    "RESULT_BACKEND": "redis://redis.example:6380/2",
    "APP_NAME": "my-app",
    "TARGET_QUEUE": "mine",
    "QUEUE_PREFIX": "my_app",
    "WORKER_CONCURRENCY": "3",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without anything of ours."""
    import os

    for name in [one for one in os.environ if one.startswith("CELERY_THROTTLE_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_without_anything_it_is_the_local_redis_and_one_careful_process(environment: Any) -> None:
    config = CeleryThrottleConfig()
    assert config.redis.url == "redis://localhost:6379/0"
    assert (config.app_name, config.queue_prefix) == ("celery-throttle", "throttle")
    assert config.target_queue == "throttle_rate_limited"
    assert config.celery.settings() == {
        "worker_concurrency": 1,
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
    }
    assert not config.names_redis


@pytest.mark.parametrize("prefix", ["CELERY_THROTTLE_", "MINE_"])
def test_each_documented_name_of_the_environment_counts(
    environment: pytest.MonkeyPatch, prefix: str
) -> None:
    for name, value in DOCUMENTED.items():
        environment.setenv(prefix + name, value)
    config = CeleryThrottleConfig.from_env(prefix)
    assert config.redis.url == "redis://redis.example:6380/1"
    assert config.app_name == "my-app"
    assert (config.target_queue, config.queue_prefix) == ("mine", "my_app")
    celery = config.celery
    assert celery.broker_url == "redis://redis.example:6380/1"
    assert celery.result_backend == "redis://redis.example:6380/2"
    assert celery.worker_concurrency == 3
    assert config.names_redis


def test_arguments_come_before_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CELERY_THROTTLE_REDIS_PORT", "6380")
    environment.setenv("CELERY_THROTTLE_REDIS_DB", "5")
    environment.setenv("CELERY_THROTTLE_QUEUE_PREFIX", "theirs")
    config = CeleryThrottleConfig(queue_prefix="mine", redis=RedisConfig(port=7_000))
    assert (config.queue_prefix, config.redis.url) == ("mine", "redis://localhost:7000/5")


def test_a_dictionary_says_the_same(environment: Any) -> None:
    config = CeleryThrottleConfig.from_dict(
        {"queue_prefix": "mine", "redis": {"db": 2}, "celery": {"worker_concurrency": 4}}
    )
    assert config.redis.db == 2
    assert config.celery.worker_concurrency == 4
    assert config.celery.task_acks_late


def test_each_prefix_has_a_target_queue_of_its_own(environment: Any) -> None:
    names = {CeleryThrottleConfig(queue_prefix=one).target_queue for one in ("a", "b")}
    assert names == {"a_rate_limited", "b_rate_limited"}


def test_other_settings_of_celery_go_through(environment: Any) -> None:
    config = CeleryConfig.model_validate({"task_time_limit": 30})
    assert config.settings()["task_time_limit"] == 30


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"queue_prefx": "x"}, "did you mean 'queue_prefix'"),
        ({"queue_prefix": "a/b"}, "letters, digits"),
        ({"queue_prefix": ""}, "letters, digits"),
        ({"redis": {"port": 0}}, "port"),
        ({"redis": {"hots": "x"}}, "did you mean 'host'"),
        ({"celery": {"worker_concurrency": 0}}, "worker_concurrency"),
    ],
)
def test_what_is_wrong_is_named(environment: Any, given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadOptionError, match=told):
        CeleryThrottleConfig.from_dict(given)


def test_a_wrong_password_is_not_repeated(environment: Any) -> None:
    with pytest.raises(BadOptionError) as error:
        CeleryThrottleConfig.from_dict({"redis": {"password": ["s3cret"]}})
    assert "s3cret" not in str(error.value)


def test_a_password_stands_in_the_address_as_it_has_to(environment: Any) -> None:
    assert RedisConfig(password="a/b@c").url == "redis://:a%2Fb%40c@localhost:6379/0"
