"""What is claimed or waits outlives its workers: however they end, each task runs, and once."""

from __future__ import annotations

import signal
import time
from uuid import uuid4

import pytest
from celery import Celery
from end_to_end.apps.gate import MODULE, sender
from support.delivery import runs_by_number
from support.fleet import fleet, send_signal, wait_for_end
from support.given import journal
from support.journal import Journal, not_yet
from support.pace import check_exact
from support.parked import (
    app,
    backlog,
    backlog_keys,
    backlog_of,
    wait_until_drained,
    wait_until_parked,
)
from support.proxy import Proxy
from support.workers import Setup, workers

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.embedded.redis_config import ConfigValue
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.release import release

__all__ = ["app", "backlog", "journal"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

PER_SECOND = 20
COUNT = 60
AWAY_SECONDS = 10.0
QUEUE = "celery"

DURABLE: dict[str, ConfigValue] = {"appendonly": True, "appendfsync": "always"}

POOLS = {
    "prefork": ("--pool", "prefork", "--concurrency", "4"),
    "threads": ("--pool", "threads", "--concurrency", "4"),
    "gevent": ("--pool", "gevent", "--concurrency", "8"),
    "solo": ("--pool", "solo"),
}
pools = pytest.mark.parametrize("pool", POOLS)


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"ratekit_overflow": "backlog"}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


def send(app: Celery, label: str, task: str = "note", count: int = COUNT) -> None:
    for number in range(count):
        app.tasks[task].delay(label, [label, PER_SECOND, 1], number)


def wait_until_taken(broker: EmbeddedRedis) -> None:
    """Waits until a broker has nothing left: all has started, or waits in the backlog."""
    with broker.client() as client:
        wait_for(
            "messages that all are taken",
            lambda: not_yet(bool(client.llen(QUEUE) or client.hlen("unacked"))),
            timeout=30,
        )


@pools
def test_workers_of_every_pool_park_and_pull(
    pool: str, setup: Setup, app: Celery, journal: Journal, private_redis: EmbeddedRedis
) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    label = uuid4().hex
    with workers(setup, 1, *POOLS[pool]), backlog_of(private_redis.url) as backlog:
        send(app, label)
        starts = journal.wait_for_starts(label, COUNT)
        wait_until_drained(backlog, QUEUE)

    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)
    check_exact(starts, PER_SECOND)
    with private_redis.client() as client:
        assert backlog_keys(client) == []


@pytest.mark.parametrize("task", ["note", "late_ack"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_worker_that_is_told_to_end_gives_back_at_once_what_it_has_claimed(
    number: signal.Signals, task: str, setup: Setup, app: Celery, backlog: Backlog
) -> None:
    journal, label = Journal(setup.journal), uuid4().hex
    with fleet(setup, *POOLS["prefork"]) as workers:
        first = workers.start()
        send(app, label, task)
        journal.wait_for_starts(label, 10)
        send_signal(first, number)
        wait_for_end(first)

        assert backlog.sizes(QUEUE).claimed == 0
        workers.start()
        starts = journal.wait_for_starts(label, COUNT)
        wait_until_drained(backlog, QUEUE)

    assert set(runs_by_number(journal, label)) == set(range(COUNT))
    if number == signal.SIGTERM:
        assert len(starts) == len(journal.starts(label)) == COUNT
    check_exact(starts, PER_SECOND)


@pytest.mark.slow
def test_what_a_killed_worker_had_claimed_comes_back(
    setup: Setup, app: Celery, journal: Journal, private_redis: EmbeddedRedis
) -> None:
    label = uuid4().hex
    with fleet(setup, *POOLS["prefork"]) as workers, backlog_of(private_redis.url) as backlog:
        first = workers.start()
        send(app, label, "late_ack")
        wait_until_taken(private_redis)
        wait_for("claims", lambda: not_yet(backlog.sizes(QUEUE).claimed == 0), timeout=30)
        first.kill()
        workers.start()

        wait_for(
            "start of every task",
            lambda: not_yet(len(runs_by_number(journal, label)) < COUNT),
            timeout=90,
        )
        wait_until_drained(backlog, QUEUE)

    check_exact(journal.starts(label), PER_SECOND)


def test_a_lost_connection_to_the_broker_repeats_nothing(
    redis_executable: str, private_redis: EmbeddedRedis, redis_url: str, journal: Journal
) -> None:
    label = uuid4().hex
    with (
        EmbeddedRedis(tcp=True, executable=redis_executable) as broker,
        Proxy(broker.port) as proxy,
        backlog_of(private_redis.url) as backlog,
    ):
        url = broker.celery_url.replace(str(broker.port), str(proxy.port))
        conf = {"ratekit_overflow": "backlog", "ratekit_redis_url": private_redis.url}
        setup = Setup(url, redis_url, conf=conf, module=MODULE)
        with fleet(setup, *POOLS["prefork"]) as workers, sender(setup) as app:
            worker = workers.start()
            send(app, label, "late_ack")
            wait_until_taken(broker)
            journal.wait_for_starts(label, 5)
            assert proxy.drop() > 0
            worker.wait_for_log("Connection to broker lost")

            starts = journal.wait_for_starts(label, COUNT)
            wait_until_drained(backlog, QUEUE)

    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)
    check_exact(starts, PER_SECOND)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_broker_that_is_away_for_ten_seconds_under_running_tasks_repeats_nothing(
    pool: str, redis_executable: str, private_redis: EmbeddedRedis, redis_url: str, journal: Journal
) -> None:
    """They acknowledge late, and end while there is nobody to tell."""
    label = uuid4().hex
    with (
        EmbeddedRedis(tcp=True, executable=redis_executable) as broker,
        Proxy(broker.port) as proxy,
        backlog_of(private_redis.url) as backlog,
    ):
        conf = {
            "ratekit_overflow": "backlog",
            "ratekit_redis_url": private_redis.url,
            "task_acks_late": True,
        }
        url = broker.celery_url.replace(str(broker.port), str(proxy.port))
        setup = Setup(url, redis_url, conf=conf, module=MODULE)
        with fleet(setup, *POOLS[pool]) as workers, sender(setup) as app:
            worker = workers.start()
            for number in range(COUNT):
                app.tasks["note"].delay(label, [label, PER_SECOND, 1], number, seconds=0.5)
            wait_until_taken(broker)
            journal.wait_for_starts(label, 5)
            # The pool is full of tasks from the backlog, of which each takes half a second.
            wait_for("claims", lambda: not_yet(backlog.sizes(QUEUE).claimed < 4), timeout=30)
            proxy.cut()
            time.sleep(AWAY_SECONDS)
            proxy.mend()
            worker.wait_for_log("Connection to broker lost")

            journal.wait_for_starts(label, COUNT)
            wait_until_drained(backlog, QUEUE)

    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)
    check_exact(journal.starts(label), PER_SECOND)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_soft_shutdown_repeats_nothing_that_ends_in_time(
    pool: str, private_redis: EmbeddedRedis, redis_url: str, backlog: Backlog
) -> None:
    journal, label = Journal(redis_url), uuid4().hex
    conf = {"ratekit_overflow": "backlog", "worker_soft_shutdown_timeout": 5.0}
    setup = Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)
    with fleet(setup, *POOLS[pool]) as workers, sender(setup) as app:
        first = workers.start()
        for number in range(COUNT):
            app.tasks["late_ack"].delay(label, [label, PER_SECOND, 1], number)
        journal.wait_for_starts(label, 10)
        send_signal(first, signal.SIGQUIT)
        wait_for_end(first)

        assert backlog.sizes(QUEUE).claimed == 0
        workers.start()
        journal.wait_for_starts(label, COUNT)
        wait_until_drained(backlog, QUEUE)

    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)
    check_exact(journal.starts(label), PER_SECOND)


@pytest.mark.rabbitmq
def test_with_rabbitmq_the_backlog_takes_over_what_its_queue_would_hold(
    rabbitmq: EmbeddedRabbitMQ, private_redis: EmbeddedRedis, redis_url: str
) -> None:
    label = uuid4().hex
    conf = {
        "ratekit_overflow": "backlog",
        "ratekit_redis_url": private_redis.url,
        "task_default_queue": label,
    }
    setup = Setup(rabbitmq.url, redis_url, conf=conf, module=MODULE)
    journal = Journal(redis_url)
    with (
        workers(setup, 2, *POOLS["prefork"]),
        sender(setup) as app,
        backlog_of(private_redis.url) as backlog,
    ):
        send(app, label)
        app.tasks["plain"].delay(f"{label} free")
        [free] = journal.wait_for_starts(f"{label} free", 1)
        starts = journal.wait_for_starts(label, COUNT)
        wait_until_drained(backlog, label)

    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)
    check_exact(starts, PER_SECOND)
    assert free["at"] < starts[-1]["at"]


def test_the_backlog_waits_where_its_redis_is_away_and_goes_on_after(
    redis_executable: str, redis_url: str
) -> None:
    label = uuid4().hex
    journal = Journal(redis_url)
    with (
        EmbeddedRedis(executable=redis_executable) as broker,
        EmbeddedRedis(executable=redis_executable, config=DURABLE) as limits,
        backlog_of(limits.url) as backlog,
    ):
        conf = {"ratekit_overflow": "backlog", "ratekit_redis_url": limits.url}
        setup = Setup(broker.celery_url, redis_url, conf=conf, module=MODULE)
        with workers(setup, 1, *POOLS["prefork"]), sender(setup) as app:
            send(app, label)
            wait_until_taken(broker)
            limits.kill()
            limits.restart()
            starts = journal.wait_for_starts(label, COUNT)
            wait_until_drained(backlog, QUEUE)

    assert set(runs_by_number(journal, label)) == set(range(COUNT))
    assert starts


@pytest.mark.parametrize("kind", ["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def test_what_is_released_runs_without_us(
    kind: str, request: pytest.FixtureRequest, private_redis: EmbeddedRedis, redis_url: str
) -> None:
    journal, label = Journal(redis_url), uuid4().hex
    broker = private_redis.celery_url
    if kind == "rabbitmq":
        rabbitmq: EmbeddedRabbitMQ = request.getfixturevalue("rabbitmq")
        broker = rabbitmq.url
    conf = {"ratekit_redis_url": private_redis.url, "task_default_queue": label}
    parking = Setup(broker, redis_url, conf={**conf, "ratekit_overflow": "backlog"}, module=MODULE)
    plain = Setup(broker, redis_url, conf={**conf, "ratekit_enabled": False}, module=MODULE)
    with backlog_of(private_redis.url) as backlog:
        with workers(parking, 1, *POOLS["prefork"]), sender(parking) as app:
            for number in range(COUNT):
                app.tasks["note"].delay(label, [label, "1/h", 1], number)
            wait_until_parked(backlog, label, COUNT - 1)

        with sender(parking) as app:
            assert release(app) == COUNT - 1
        with private_redis.client() as client:
            assert backlog_keys(client) == []
        with workers(plain, 1, *POOLS["prefork"]):
            journal.wait_for_starts(label, COUNT)

    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)


@pytest.mark.parametrize(
    "change", [{"ratekit_enabled": False}, {"ratekit_overflow": "hold", "ratekit_mode": "shadow"}]
)
def test_what_waits_runs_at_once_where_the_limits_are_switched_off(
    change: dict[str, object], private_redis: EmbeddedRedis, redis_url: str
) -> None:
    journal, label = Journal(redis_url), uuid4().hex
    parking = Setup(
        private_redis.celery_url, redis_url, conf={"ratekit_overflow": "backlog"}, module=MODULE
    )
    after = Setup(private_redis.celery_url, redis_url, conf=change, module=MODULE)
    with backlog_of(private_redis.url) as backlog:
        with workers(parking, 1, *POOLS["prefork"]), sender(parking) as app:
            for number in range(COUNT):
                app.tasks["note"].delay(label, [label, "1/h", 1], number)
            wait_until_parked(backlog, QUEUE, COUNT - 1)

        with workers(after, 1, *POOLS["prefork"]):
            journal.wait_for_starts(label, COUNT)
            wait_until_drained(backlog, QUEUE)

    assert runs_by_number(journal, label) == dict.fromkeys(range(COUNT), 1)
    with private_redis.client() as client:
        assert backlog_keys(client) == []
