"""Connections break and servers go away while tasks are held: each runs, and runs once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from end_to_end.apps.gated import MODULE, sender
from support.delivery import runs_by_number, wait_for_numbers
from support.fleet import fleet, send_signal, wait_for_end
from support.journal import Journal, most_beyond, not_yet
from support.proxy import Proxy
from support.spans import wait_for_ends
from support.workers import Setup, Worker

from celery_ratekit import Limiter, TokenBucket
from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.workers]

RATE_PER_SECOND = 20
COUNT = 40
LOST = "Connection to broker lost"
FROZEN_SECONDS = 600.0  # until the test ends it
ARGUMENTS = ("--concurrency", "4")

UNACKNOWLEDGED_SECONDS = 1.0
"""How long after its start a task may not yet be acknowledged, on a busy machine."""

POOLS = {
    "prefork": ("--pool", "prefork", *ARGUMENTS),
    "threads": ("--pool", "threads", *ARGUMENTS),
}
pools = pytest.mark.parametrize("pool", POOLS)

ROUNDING = 1e-3  # of a count: sums of microseconds

REDIS_OPTIONS = {
    "visibility_timeout": 5,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "unacked_restore_limit": 1_000,
}


away = pytest.mark.parametrize(
    ("go", "come_back"),
    [(EmbeddedRedis.kill, EmbeddedRedis.restart), (EmbeddedRedis.pause, EmbeddedRedis.resume)],
    ids=["restarted", "hung"],
)


@dataclass(frozen=True)
class Broker:
    """A broker whose connections can be cut."""

    proxy: Proxy
    conf: dict[str, Any]


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker(request: pytest.FixtureRequest, redis_executable: str) -> Iterator[Broker]:
    if request.param == "rabbitmq":
        rabbitmq: EmbeddedRabbitMQ = request.getfixturevalue("rabbitmq")
        with Proxy(rabbitmq.port) as proxy:
            yield Broker(proxy, {"broker_url": at(rabbitmq.url, rabbitmq.port, proxy)})
        return
    with (
        EmbeddedRedis(tcp=True, executable=redis_executable) as server,
        Proxy(server.port) as proxy,
    ):
        url = at(server.celery_url, server.port, proxy)
        yield Broker(proxy, {"broker_url": url, "broker_transport_options": REDIS_OPTIONS})


def at(url: str, port: int, proxy: Proxy) -> str:
    return url.replace(f":{port}/", f":{proxy.port}/")


@pytest.fixture
def label() -> str:
    return uuid4().hex


@pytest.fixture
def setup(broker: Broker, private_redis: EmbeddedRedis, redis_url: str, label: str) -> Setup:
    """Broker, limits and journal each on a server of their own."""
    conf = {
        **broker.conf,
        "task_default_queue": label,
        "ratekit_redis_url": private_redis.url,
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 32,  # room for tasks without a limit behind those held
    }
    return Setup("", redis_url, conf=conf, module=MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


@pytest.fixture
def journal(redis_url: str) -> Journal:
    return Journal(redis_url)


@pytest.fixture
def limiter(private_redis: EmbeddedRedis) -> Iterator[Limiter]:
    limiter = Limiter(private_redis.url, timeout_seconds=10)
    yield limiter
    limiter.close()


def bucket(label: str) -> TokenBucket:
    return TokenBucket(label, RATE_PER_SECOND, 1)


def send(app: Celery, label: str, numbers: range) -> None:
    for number in numbers:
        app.tasks["early"].delay(label, [label, RATE_PER_SECOND, 1], number)


def wait_until_all_are_held(worker: Worker, app: Celery) -> None:
    """Waits until whatever was let start has ended, with the limit frozen and tasks held."""

    def check() -> None:
        name = f"{worker.log_path.stem}@localhost"
        answers = app.control.broadcast("ratekit", destination=[name], reply=True, timeout=5)
        not_yet(missing=not answers, what="no answer to inspect ratekit")
        answer = answers[0][name]
        held = answer["held"]
        not_yet(missing=not held or any(one["starts_in"] is not None for one in held))
        not_yet(missing=answer["slots"]["idle"] != answer["slots"]["size"], what="some still run")

    wait_for("tasks that all are held", check, timeout=30)


def wait_until_tasks_start(app: Celery, journal: Journal) -> None:
    """Waits until a task without a limit, sent now, has started."""
    label = uuid4().hex
    app.tasks["plain"].delay(label)
    journal.wait_for_starts(label, 1, timeout=30)


def drop(broker: Broker, worker: Worker, app: Celery, journal: Journal) -> float:
    """Cuts every connection to the broker; returns when, once the worker has come back."""
    lost_before = worker.log.count(LOST)
    moment = time.time()
    assert broker.proxy.drop() > 0
    wait_for(
        "lost connection",
        lambda: not_yet(worker.log.count(LOST) == lost_before),
        timeout=30,
    )
    wait_until_tasks_start(app, journal)
    return moment


def check_grants(journal: Journal, label: str) -> None:
    """None was granted too early."""
    moments = [start["granted_at"] for start in journal.starts(label)]
    assert most_beyond(moments, RATE_PER_SECOND) <= 1 + ROUNDING


def check_once(journal: Journal, label: str) -> None:
    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)


def check_repeats(journal: Journal, label: str, dropped_at: list[float]) -> None:
    """Only what could not be acknowledged any more ran again, as it does without a gate."""
    begun: dict[int, float] = {}
    for start in sorted(journal.starts(label), key=lambda start: start["at"]):
        before = begun.get(start["number"])
        assert before is None or any(
            before - UNACKNOWLEDGED_SECONDS <= moment <= start["at"]
            and moment - before <= UNACKNOWLEDGED_SECONDS
            for moment in dropped_at
        ), f"{start} ran before at {before}; dropped at {dropped_at}"
        begun[start["number"]] = start["at"]


@pools
def test_every_task_runs_though_the_brokers_connection_is_lost_in_full_flow(
    pool: str, broker: Broker, setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with fleet(setup, *POOLS[pool]) as workers:
        worker = workers.start()
        send(app, label, range(COUNT))
        dropped_at = []
        for count in (5, 15):
            journal.wait_for_starts(label, count)
            dropped_at.append(drop(broker, worker, app, journal))

        wait_for_numbers(journal, label, COUNT)
        assert worker.process.alive

    check_repeats(journal, label, dropped_at)
    check_grants(journal, label)


@pools
def test_a_warm_shutdown_in_full_flow_neither_loses_nor_repeats_a_task(
    pool: str, setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with fleet(setup, *POOLS[pool]) as workers:
        first = workers.start()
        send(app, label, range(COUNT))
        journal.wait_for_starts(label, 10)
        send_signal(first, signal.SIGTERM)
        wait_for_end(first)
        assert len(journal.starts(label)) < COUNT

        workers.start()
        wait_for_numbers(journal, label, COUNT)
        wait_for_ends(journal, label, COUNT)

    check_once(journal, label)
    check_grants(journal, label)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_held_tasks_run_once_after_a_lost_connection_and_a_signal(
    number: signal.Signals,
    broker: Broker,
    setup: Setup,
    app: Celery,
    journal: Journal,
    limiter: Limiter,
    label: str,
) -> None:
    with fleet(setup, *ARGUMENTS) as workers:
        first = workers.start()
        send(app, label, range(COUNT))
        journal.wait_for_starts(label, 5)
        limiter.freeze(bucket(label), FROZEN_SECONDS)
        drop(broker, first, app, journal)
        wait_until_all_are_held(first, app)
        send_signal(first, number)
        wait_for_end(first)
        assert len(journal.starts(label)) < COUNT
        limiter.freeze(bucket(label), 0)

        workers.start()
        wait_for_numbers(journal, label, COUNT)
        wait_for_ends(journal, label, COUNT)

    check_once(journal, label)
    check_grants(journal, label)


@away
def test_held_tasks_run_once_after_the_redis_of_the_limits_was_away(
    go: Callable[[EmbeddedRedis], None],
    come_back: Callable[[EmbeddedRedis], None],
    setup: Setup,
    app: Celery,
    journal: Journal,
    private_redis: EmbeddedRedis,
    label: str,
) -> None:
    with fleet(setup, *ARGUMENTS) as workers:
        worker = workers.start()
        send(app, label, range(COUNT))
        journal.wait_for_starts(label, 5)
        go(private_redis)
        worker.wait_for_log("Redis does not answer")
        wait_until_tasks_start(app, journal)
        assert len(journal.starts(label)) < COUNT
        come_back(private_redis)

        wait_for_numbers(journal, label, COUNT)
        wait_for_ends(journal, label, COUNT)
        assert worker.process.alive
        assert LOST not in worker.log

    check_once(journal, label)
    check_grants(journal, label)


@away
def test_held_tasks_run_once_after_the_redis_of_broker_and_limits_was_away(
    go: Callable[[EmbeddedRedis], None],
    come_back: Callable[[EmbeddedRedis], None],
    redis_executable: str,
    redis_url: str,
    journal: Journal,
    label: str,
) -> None:
    config = {"appendonly": True, "appendfsync": "always"}  # It keeps its messages.
    with EmbeddedRedis(executable=redis_executable, config=config) as server:
        conf = {"broker_transport_options": REDIS_OPTIONS, "task_ignore_result": True}
        setup = Setup(server.celery_url, redis_url, conf=conf, module=MODULE)
        limiter = Limiter(server.url, timeout_seconds=10)
        with fleet(setup, *ARGUMENTS) as workers, sender(setup) as app:
            worker = workers.start()
            send(app, label, range(COUNT))
            journal.wait_for_starts(label, 5)
            limiter.freeze(bucket(label), FROZEN_SECONDS)
            wait_until_all_are_held(worker, app)
            go(server)
            worker.wait_for_log("Redis does not answer")
            come_back(server)
            limiter.freeze(bucket(label), 0)

            wait_for_numbers(journal, label, COUNT)
            wait_for_ends(journal, label, COUNT)
            assert worker.process.alive
        limiter.close()

    check_once(journal, label)
    check_grants(journal, label)
