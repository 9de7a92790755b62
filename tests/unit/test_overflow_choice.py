"""Whether two addresses name one Redis, in every form that an address may have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_ratekit.settings import Settings
from celery_ratekit.worker.backlog.overflow_choice import is_same_server, overflow_of

SAME = [
    ("redis://", "redis://localhost:6379/0"),
    ("redis://localhost", "redis://127.0.0.1:6379/3"),
    ("redis://:secret@Redis.Example/1", "redis://redis.example:6379/2"),
    ("rediss://redis.example:6380", "rediss://user:secret@redis.example:6380/1?ssl_cert_reqs=none"),
    ("redis://redis.example", "rediss://redis.example"),
    ("redis://[::1]:6379/0", "redis://[::1]/1"),
    ("redis+socket:///run/redis.sock", "unix:///run/redis.sock?db=3"),
    ("redis+socket:///run/redis.sock?virtual_host=2", "unix:///run/redis.sock"),
    (
        "sentinel://a:26379/0;sentinel://b:26380/0",
        "sentinel://b:26380/0;sentinel://a:26379/0",
    ),
    ("amqp://one;redis://two", "redis://two"),  # the second stands in for the first
]

OTHERS = [
    ("redis://one", "redis://two"),
    ("redis://one:6379", "redis://one:6380"),
    ("redis+socket:///run/a.sock", "unix:///run/b.sock"),
    ("redis+socket:///run/a.sock", "redis://localhost"),
    ("amqp://localhost", "redis://localhost"),
    ("amqp://localhost:6379", "redis://localhost:6379"),
    ("memory://", "redis://"),
    ("sqs://", "redis://"),
    ("sentinel://a:26379", "redis://a:26379"),
    ("", "redis://"),
    (None, "redis://"),
    (["redis://"], "redis://"),
    ("redis://", None),
]


@pytest.mark.parametrize(("broker", "redis_url"), SAME)
def test_addresses_of_one_server(broker: object, redis_url: str) -> None:
    assert is_same_server(broker, redis_url)


@pytest.mark.parametrize(("broker", "redis_url"), OTHERS)
def test_addresses_of_several_servers(broker: object, redis_url: str | None) -> None:
    assert not is_same_server(broker, redis_url)


def chosen(broker: str, of_task: str | None = None, of_app: str = "auto") -> str:
    app: Any = SimpleNamespace(conf=SimpleNamespace(broker_read_url=broker))
    task: Any = SimpleNamespace(name="task", overflow=of_task)
    return overflow_of(app, task, Settings(redis_url="redis://one", overflow=of_app))


def test_auto_is_the_backlog_where_the_broker_is_that_redis() -> None:
    assert chosen("redis://one/5") == "backlog"
    assert chosen("redis://two") == "hold"
    assert chosen("amqp://one") == "hold"


@pytest.mark.parametrize("which", ["backlog", "hold"])
def test_what_is_said_counts_and_of_a_task_more_than_of_the_app(which: str) -> None:
    other = {"backlog": "hold", "hold": "backlog"}[which]

    assert chosen("amqp://one", of_app=which) == which
    assert chosen("redis://one", of_task=which, of_app=other) == which


def test_a_task_may_say_auto_where_the_app_says_otherwise() -> None:
    assert chosen("redis://one", of_task="auto", of_app="hold") == "backlog"
