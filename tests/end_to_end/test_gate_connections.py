"""Connections break and servers go away while tasks are held: each runs, and runs once."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery
from end_to_end.apps.gated import MODULE, sender
from support.delivery import runs_by_number, wait_for_numbers
from support.fleet import fleet, send_signal, wait_for_end
from support.journal import Journal, most_beyond, not_yet
from support.pace import ROUNDING
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

RABBITMQ_OPTIONS = {"confirm_publish": True}  # The test's own connection is cut as well.

RECEIVED = re.compile(r"Task early\[.*\] received")

VISIBILITY_SECONDS = 5
SHORT_HOLDS = {
    "visibility_timeout": VISIBILITY_SECONDS,  # Half as long is the longest hold.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "unacked_restore_limit": 1_000,
    "unacked_mutex_expire": 2,
}


@contextmanager
def killed(server: EmbeddedRedis) -> Iterator[None]:
    server.kill()
    yield
    server.restart()


@contextmanager
def hung(server: EmbeddedRedis) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


outages = pytest.mark.parametrize("outage", [killed, hung])
Outage = Callable[[EmbeddedRedis], AbstractContextManager[None]]


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
            url = at(rabbitmq.url, rabbitmq.port, proxy)
            # The test's own connection is cut as well.
            options = {"confirm_publish": True}
            yield Broker(proxy, {"broker_url": url, "broker_transport_options": options})
        return
    with (
        EmbeddedRedis(tcp=True, executable=redis_executable) as server,
        Proxy(server.port) as proxy,
    ):
        url = at(server.celery_url, server.port, proxy)
        yield Broker(proxy, {"broker_url": url})


def at(url: str, port: int, proxy: Proxy) -> str:
    return url.replace(f":{port}/", f":{proxy.port}/")


@dataclass(frozen=True)
class Scene:
    """A broker, limits and a journal, each on a server of its own, and tasks with one limit."""

    setup: Setup
    app: Celery
    journal: Journal
    limit: TokenBucket

    @property
    def label(self) -> str:
        return self.limit.name

    def send_all(self) -> None:
        """Sends the tasks of all numbers."""
        for number in range(COUNT):
            self.app.tasks["early"].delay(self.label, [self.label, RATE_PER_SECOND, 1], number)

    def wait_for_starts(self, count: int) -> None:
        self.journal.wait_for_starts(self.label, count)

    def wait_until_all_ran(self) -> None:
        wait_for_numbers(self.journal, self.label, COUNT)
        wait_for_ends(self.journal, self.label, COUNT)

    def wait_until_tasks_start(self) -> None:
        """Waits until a task without a limit, sent now, has started."""
        label = uuid4().hex
        self.app.tasks["plain"].delay(label)
        self.journal.wait_for_starts(label, 1, timeout=30)

    def wait_until_all_are_held(self, worker: Worker) -> None:
        """Waits until nothing runs any more, with the limit frozen."""
        name = f"{worker.log_path.stem}@localhost"

        def check() -> None:
            answers = self.app.control.broadcast(
                "ratekit", destination=[name], reply=True, timeout=5
            )
            not_yet(missing=not answers, what="no answer to inspect ratekit")
            shown = answers[0][name]
            granted = [one for one in shown["held"] if one["starts_in"] is not None]
            not_yet(missing=not shown["held"] or bool(granted), what="some are to start")
            not_yet(missing=shown["slots"]["idle"] < shown["slots"]["size"], what="some run")

        wait_for("tasks that all are held", check, timeout=30)

    def drop(self, broker: Broker, worker: Worker) -> tuple[float, float]:
        """Cuts every connection to the broker; returns when, and when the worker was back."""
        losses = worker.log.count(LOST)
        begin = time.time()
        assert broker.proxy.drop() > 0
        wait_for("lost connection", lambda: not_yet(worker.log.count(LOST) == losses), timeout=30)
        self.wait_until_tasks_start()
        return begin, time.time()

    def check_grants(self) -> None:
        """None was granted too early."""
        moments = [start["granted_at"] for start in self.journal.starts(self.label)]
        assert most_beyond(moments, RATE_PER_SECOND) <= 1 + ROUNDING

    def check_once(self) -> None:
        """Each ran once, at a moment that was granted."""
        assert runs_by_number(self.journal, self.label) == dict.fromkeys(range(COUNT), 1)
        self.check_grants()


def wait_until_received(worker: Worker, count: int) -> None:
    """Waits until a worker has received so many limited tasks."""

    def check() -> None:
        received = len(RECEIVED.findall(worker.log))
        not_yet(missing=received < count, what=f"{received} of {count} were received")

    wait_for("receipt of tasks", check, timeout=30)


@contextmanager
def scene_of(journal: str, **conf: Any) -> Iterator[Scene]:
    conf |= {
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 32,  # room for tasks without a limit behind those held
    }
    label = uuid4().hex
    setup = Setup("", journal, conf={**conf, "task_default_queue": label}, module=MODULE)
    with sender(setup) as app:
        yield Scene(setup, app, Journal(journal), TokenBucket(label, RATE_PER_SECOND, 1))


@pytest.fixture
def scene(broker: Broker, private_redis: EmbeddedRedis, redis_url: str) -> Iterator[Scene]:
    with scene_of(redis_url, **broker.conf, ratekit_redis_url=private_redis.url) as scene:
        yield scene


@contextmanager
def frozen(limit: TokenBucket, redis_url: str) -> Iterator[None]:
    """Lets no task of the limit start meanwhile."""
    limiter = Limiter(redis_url, timeout_seconds=10)
    limiter.freeze(limit, FROZEN_SECONDS)
    yield
    limiter.freeze(limit, 0)
    limiter.close()


def repeated_needlessly(scene: Scene, lost: tuple[float, float]) -> list[dict[str, Any]]:
    """Starts of what had run before, and was acknowledged: not while the connection was ``lost``.

    Without a gate, too, what starts until the loss is noticed cannot be acknowledged.
    """
    begun: dict[int, float] = {}
    found = []
    for start in sorted(scene.journal.starts(scene.label), key=lambda start: start["at"]):
        before = begun.setdefault(start["number"], start["at"])
        unacknowledged = lost[0] - UNACKNOWLEDGED_SECONDS <= before <= lost[1]
        if before != start["at"] and not unacknowledged:
            found.append(start)
    return found


@pools
def test_every_task_runs_though_the_brokers_connection_is_lost_in_full_flow(
    pool: str, broker: Broker, scene: Scene
) -> None:
    with fleet(scene.setup, *POOLS[pool]) as workers:
        worker = workers.start()
        scene.send_all()
        wait_until_received(
            worker, COUNT
        )  # What is under way from Redis is lost with or without us.
        scene.wait_for_starts(5)
        lost = scene.drop(broker, worker)

        wait_for_numbers(scene.journal, scene.label, COUNT)
        assert worker.process.alive

    assert repeated_needlessly(scene, lost) == []
    scene.check_grants()


@pools
def test_a_warm_shutdown_in_full_flow_neither_loses_nor_repeats_a_task(
    pool: str, scene: Scene
) -> None:
    with fleet(scene.setup, *POOLS[pool]) as workers:
        first = workers.start()
        scene.send_all()
        scene.wait_for_starts(10)
        send_signal(first, signal.SIGTERM)
        wait_for_end(first)
        assert len(scene.journal.starts(scene.label)) < COUNT

        workers.start()
        scene.wait_until_all_ran()

    scene.check_once()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_held_tasks_run_once_after_a_lost_connection_and_a_signal(
    number: signal.Signals, broker: Broker, scene: Scene, private_redis: EmbeddedRedis
) -> None:
    with fleet(scene.setup, *POOLS["prefork"]) as workers:
        first = workers.start()
        scene.send_all()
        scene.wait_for_starts(5)
        with frozen(scene.limit, private_redis.url):
            wait_until_received(first, COUNT)
            scene.wait_until_all_are_held(first)
            held = COUNT - len(scene.journal.starts(scene.label))
            assert held > 0
            scene.drop(broker, first)
            wait_until_received(first, COUNT + held)
            send_signal(first, number)
            wait_for_end(first)

        workers.start()
        scene.wait_until_all_ran()

    scene.check_once()


@outages
def test_held_tasks_run_once_after_the_redis_of_the_limits_was_away(
    outage: Outage, scene: Scene, private_redis: EmbeddedRedis
) -> None:
    with fleet(scene.setup, *POOLS["prefork"]) as workers:
        worker = workers.start()
        scene.send_all()
        scene.wait_for_starts(5)
        with outage(private_redis):
            worker.wait_for_log("Redis does not answer")
            scene.wait_until_tasks_start()
            assert len(scene.journal.starts(scene.label)) < COUNT

        scene.wait_until_all_ran()
        assert worker.process.alive
        assert LOST not in worker.log

    scene.check_once()


def test_what_waits_for_longer_than_the_visibility_time_out_runs_once(
    redis_server: EmbeddedRedis, redis_url: str
) -> None:
    conf = {"broker_url": redis_server.celery_url, "broker_transport_options": SHORT_HOLDS}
    with scene_of(redis_url, **conf) as scene, fleet(scene.setup, *POOLS["prefork"]) as workers:
        limiter = Limiter(redis_url)
        limiter.freeze(scene.limit, 2.5 * VISIBILITY_SECONDS)
        workers.start()
        scene.send_all()
        scene.wait_until_all_ran()
        limiter.close()

    scene.check_once()


def test_what_waits_for_long_starts_soon_after_a_freeze_was_ended_early(
    redis_server: EmbeddedRedis, redis_url: str
) -> None:
    conf = {"broker_url": redis_server.celery_url, "broker_transport_options": SHORT_HOLDS}
    with scene_of(redis_url, **conf) as scene, fleet(scene.setup, *POOLS["prefork"]) as workers:
        worker = workers.start()
        with frozen(scene.limit, redis_url):
            scene.send_all()
            for times in range(1, 3):  # Each was held, sent again, and received again.
                wait_until_received(worker, times * COUNT)

        scene.wait_until_all_ran()

    scene.check_once()


@outages
def test_held_tasks_run_once_after_the_redis_of_broker_and_limits_was_away(
    outage: Outage, redis_executable: str, redis_url: str
) -> None:
    config: dict[str, bool | str] = {
        "appendonly": True,
        "appendfsync": "always",
    }  # It keeps its messages.
    with (
        EmbeddedRedis(executable=redis_executable, config=config) as server,
        server.client(socket_timeout=2, retry=None) as client,
        scene_of(
            redis_url, broker_url=server.celery_url, broker_transport_options=SHORT_HOLDS
        ) as scene,
        fleet(scene.setup, *POOLS["prefork"]) as workers,
    ):
        worker = workers.start()
        scene.send_all()
        scene.wait_for_starts(5)
        with frozen(scene.limit, server.url):
            wait_until_received(worker, COUNT)
            scene.wait_until_all_are_held(worker)
            with outage(server), pytest.raises(redis.RedisError):
                client.ping()

        workers.start()  # Celery itself may not survive that its broker was killed.
        scene.wait_until_all_ran()
        assert worker.process.alive or outage is killed
        assert "/celery_ratekit/" not in worker.log  # no traceback through the gate

    scene.check_once()
