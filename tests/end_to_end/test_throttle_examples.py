"""The documented uses of throttled queues, against a real worker, broker and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis as redis_py
from celery import Celery
from support.journal import Journal, not_yet
from support.throttled import (
    BROKER,
    MODULE,
    Programs,
    documented_environment,
    prefixed,
    programs,
    wait_for_stats,
)

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.throttle import CeleryThrottle, CeleryThrottleConfig
from celery_ratekit.throttle.config import RedisConfig
from celery_ratekit.throttle.queue_manager import UniversalQueueManager
from celery_ratekit.throttle.tasks import RateLimitedTaskSubmitter

pytestmark = [pytest.mark.redis, pytest.mark.workers]

PREFIX = f"p{uuid4().hex}"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tcp=True) as server:
        yield server


@pytest.fixture(scope="module")
def running(server: EmbeddedRedis) -> Iterator[Programs]:
    with programs(server, QUEUE_PREFIX=PREFIX) as running:
        running.worker("--concurrency", "1")
        yield running


@pytest.fixture(autouse=True)
def environment(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in documented_environment(server, QUEUE_PREFIX=PREFIX).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def label() -> str:
    return uuid4().hex


def wait_for_data(server: EmbeddedRedis, label: str, count: int) -> None:
    """Until the worker's handler was given so many dictionaries."""
    client = Journal(server.url_for(9)).client
    wait_for(
        "data in the worker",
        lambda: not_yet(client.llen(f"journal:data:{label}") < count),
        timeout=60,
    )


def test_basic_usage_and_statistics(server: EmbeddedRedis, running: Programs, label: str) -> None:
    throttle = CeleryThrottle()
    queue_name = throttle.create_queue("5/1m")
    assert throttle.submit_task(queue_name, {"message": "one", "label": label})
    assert not throttle.submit_task(queue_name, {"message": "two", "label": label})
    wait_for_data(server, label, 1)
    # A worker takes the other now and then to ask for it, and gives it back.
    stats = wait_for_stats(
        throttle, queue_name, lambda one: one.tasks_completed == one.tasks_waiting == 1
    )
    assert (stats.tasks_processing, stats.tasks_completed) == (0, 1)
    assert 0 < throttle.get_rate_limit_status(queue_name)["next_token_in"] <= 12
    assert queue_name in {one.name for one in throttle.list_queues() if one.active}


def test_an_app_of_one_s_own_goes_on_as_before(server: EmbeddedRedis, label: str) -> None:
    journal = Journal(server.url_for(9))
    broker = server.celery_url_for(3)
    app = Celery("my-app", set_as_current=False)
    app.conf.update(broker_url=broker)
    throttle = CeleryThrottle(celery_app=app, queue_prefix="throttle")
    assert throttle.app is app
    with programs(server, QUEUE_PREFIX="throttle") as running:
        module = "end_to_end.apps.throttle_existing"
        running.worker("--concurrency", "1", module=module, **{BROKER: broker})
        api_queue = throttle.create_queue("100/1h")
        for n in range(3):
            assert throttle.submit_task(api_queue, {"n": n, "label": label}) is (n == 0)
        for _ in range(5):
            app.signature("my_existing_task", (label,)).delay()
        wait_for_data(server, label, 1)
        assert len(journal.wait_for_starts(label, 5)) == 5
        wait_for_stats(
            throttle, api_queue, lambda one: (one.tasks_waiting, one.tasks_completed) == (2, 1)
        )


def test_starts_are_spaced_evenly_but_for_the_burst_that_is_allowed(
    running: Programs, server: EmbeddedRedis, label: str
) -> None:
    throttle = CeleryThrottle()
    journal = Journal(server.url_for(9))
    queues = {1: throttle.create_queue("10/60s"), 5: throttle.create_queue("10/60s:5")}
    for burst, queue in queues.items():
        throttle.submit_many(
            queue, [throttle.app.signature("note", (f"{label}{burst}",)) for _ in range(burst + 1)]
        )
    for burst in queues:
        starts = [start["at"] for start in journal.wait_for_starts(f"{label}{burst}", burst + 1)]
        # The worker runs one at a time, and each start may be late by as much.
        assert 6 - 0.5 < starts[-1] - starts[0] < 6 + 3
        assert starts[-1] - starts[-2] > 2


@pytest.mark.parametrize(
    ("rate", "seconds", "burst"),
    [
        ("10/60s", 6, 1),
        ("100/1h", 36, 1),
        ("1/5m", 300, 1),
        ("10/60s:5", 6, 5),
        ("100/1h:20", 36, 20),
    ],
)
def test_both_modes_of_distribution(rate: str, seconds: float, burst: int) -> None:
    throttle = CeleryThrottle(queue_prefix=f"modes{uuid4().hex}")
    queue = throttle.create_queue(rate)
    done = throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(30)])
    assert done == {"submitted": burst, "queued": 30 - burst}
    status = throttle.get_rate_limit_status(queue)
    assert seconds - 3 < status["next_token_in"] <= seconds


def test_configurations_in_code_in_dictionaries_and_in_the_environment(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    parts = documented_environment(server)
    place: dict[str, Any] = {
        "host": parts["CELERY_THROTTLE_REDIS_HOST"],
        "port": int(parts["CELERY_THROTTLE_REDIS_PORT"]),
        "db": 1,
    }
    in_code = CeleryThrottle(
        config=CeleryThrottleConfig(
            app_name="mine",
            target_queue="mine",
            queue_prefix="mine",
            redis=RedisConfig(**place),
            celery={  # type: ignore[arg-type]  # a dictionary is taken as well
                "broker_url": server.celery_url_for(1),
                "worker_concurrency": 2,
            },
        )
    )
    in_dictionary = CeleryThrottle.from_config_dict(
        {
            "app_name": "mine",
            "target_queue": "mine",
            "queue_prefix": "mine",
            "redis": place,
            "celery": {"worker_concurrency": 4},
        }
    )
    for name, value in {
        "REDIS_DB": "1",
        "BROKER_URL": server.celery_url_for(1),
        "APP_NAME": "mine",
        "TARGET_QUEUE": "mine",
        "QUEUE_PREFIX": "mine",
    }.items():
        monkeypatch.setenv(f"CELERY_THROTTLE_{name}", value)
    in_environment = CeleryThrottle.from_env()
    queue = in_code.create_queue("1/1h")
    assert [one.app.conf.worker_concurrency for one in (in_code, in_dictionary)] == [2, 4]
    for throttle in (in_dictionary, in_environment):
        assert [one.name for one in throttle.list_queues()] == [queue]
        assert throttle.config.target_queue == "mine"
    assert in_dictionary.submit_task(queue, {"label": label})
    assert not in_environment.submit_task(queue, {"label": label})
    names = {
        "REDIS_DB": "1",
        "BROKER_URL": server.celery_url_for(1),
        "TARGET_QUEUE": "mine",
        "QUEUE_PREFIX": "mine",
    }
    with programs(server, **names) as running:
        running.worker("--queues", "mine")
        in_code.update_rate_limit(queue, "10/s")
        wait_for_data(server, label, 2)
        wait_for_stats(in_code, queue, lambda one: one.tasks_completed == 2)


@pytest.mark.parametrize("call", ["run_dedicated_worker()", "run_worker(queues=[{target!r}, 'o'])"])
def test_workers_for_throttled_queues_alone_run_from_python(
    server: EmbeddedRedis, call: str, label: str
) -> None:
    names = {"TARGET_QUEUE": f"t{label}", "QUEUE_PREFIX": f"d{label}"}
    config = CeleryThrottleConfig(target_queue=f"t{label}", queue_prefix=f"d{label}")
    throttle = CeleryThrottle(config=config)
    with programs(server, **names) as running:
        run = call.format(target=config.target_queue)
        running.worker_of_script(f"from {MODULE} import throttle; throttle.{run}")
        consumed = {config.target_queue, "o"} if "queues" in call else {config.target_queue}
        queue = throttle.create_queue("100/1h")
        throttle.submit_task(queue, {"label": label})
        wait_for_data(server, label, 1)
        # Beside it runs the one that all tests of this module have.
        infos = throttle.get_worker_info().values()
        assert [set(one.queue_sizes) for one in infos].count(consumed) == 1


def test_regular_and_throttled_tasks_run_in_workers_of_their_own(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    names = {
        "TARGET_QUEUE": f"t{label}",
        "QUEUE_PREFIX": f"i{label}",
        "BROKER_URL": server.celery_url_for(4),
    }
    for name, value in prefixed(names).items():
        monkeypatch.setenv(name, value)
    throttle = CeleryThrottle()
    journal = Journal(server.url_for(9))
    with programs(server) as running:
        running.worker("--queues=celery", **prefixed(names))
        running.worker(command="dedicated-worker", **prefixed(names))
        api_queue = throttle.create_queue("100/1h:3")
        throttled = [throttle.app.signature("note", (f"{label} api",)) for _ in range(3)]
        throttle.submit_many(api_queue, throttled)
        for _ in range(3):
            throttle.app.signature("note", (f"{label} regular",)).delay()
        by_kind = [
            {start["worker"] for start in journal.wait_for_starts(f"{label} {kind}", 3)}
            for kind in ("api", "regular")
        ]
        assert [len(workers) for workers in by_kind] == [1, 1]
        assert by_kind[0] != by_kind[1]


def test_each_api_keeps_to_a_limit_of_its_own(
    running: Programs, server: EmbeddedRedis, label: str
) -> None:
    throttle = CeleryThrottle()
    queues = [throttle.create_queue(rate) for rate in ("300/15m", "5000/1h", "1/1s")]
    for queue in queues:
        assert throttle.submit_task(queue, {"label": label})
        assert not throttle.submit_task(queue, {"label": label})
    wait_for_data(server, label, 6)
    for queue in queues:
        wait_for_stats(throttle, queue, lambda one: one.tasks_completed == 2)


def test_a_dedicated_worker_of_each_of_two_services(server: EmbeddedRedis, label: str) -> None:
    services = {}
    for name in ("service_a", "service_b"):
        config = CeleryThrottleConfig(
            app_name=name, target_queue=f"{name}_{label}", queue_prefix=f"{name}_{label}"
        )
        services[name] = CeleryThrottle(config=config)
    with programs(server) as running:
        for service in services.values():
            running.worker(
                command="dedicated-worker",
                CELERY_THROTTLE_QUEUE_PREFIX=service.config.queue_prefix,
                CELERY_THROTTLE_TARGET_QUEUE=service.config.target_queue,
            )
        for name, service in services.items():
            queue = service.create_queue("300/15m")
            service.submit_task(queue, {"label": f"{name}{label}"})
            wait_for_data(server, f"{name}{label}", 1)
            wait_for_stats(service, queue, lambda one: one.tasks_completed == 1)
            assert len(service.list_queues()) == 1


def test_a_large_batch_is_brought_in_at_once_and_runs_at_its_rate(
    running: Programs, server: EmbeddedRedis, label: str
) -> None:
    throttle = CeleryThrottle()
    batch_queue = throttle.create_queue("1000/6h")
    tasks = [{"item_id": i, "label": label} for i in range(5_000)]
    results = throttle.submit_multiple_tasks(batch_queue, tasks)
    assert results == {"submitted": 1, "queued": 4_999}
    wait_for_data(server, label, 1)
    stats = wait_for_stats(throttle, batch_queue, lambda one: one.tasks_completed == 1)
    assert stats.tasks_waiting + stats.tasks_processing == 4_999
    assert 15 < throttle.get_rate_limit_status(batch_queue)["next_token_in"] <= 21.6
    throttle.remove_queue(batch_queue)


def test_a_processor_of_one_s_own_takes_the_data(server: EmbeddedRedis, label: str) -> None:
    prefix = f"custom{label}"
    with programs(server, QUEUE_PREFIX=prefix) as running:
        module = "end_to_end.apps.throttle_custom"
        running.worker_of_script(f"from {module} import throttle; throttle.run_dedicated_worker()")
        queue = CeleryThrottle(queue_prefix=prefix).create_queue("10/s:5")
        data = [
            {"type": "email", "to": "ann", "label": label},
            {"type": "webhook", "url": "/hook", "label": label},
        ]
        submit = f"throttle.submit_multiple_tasks({queue!r}, {data!r})"
        assert running.run_script(f"from {module} import throttle; print({submit})") == (
            "{'submitted': 2, 'queued': 0}\n"
        )
        wait_for_data(server, label, 2)
        client = Journal(server.url_for(9)).client
        done: Any = client.lrange(f"journal:data:{label}", 0, -1)
        assert sorted(done) == [b"email ann", b"webhook /hook"]
        wait_for_stats(
            CeleryThrottle(queue_prefix=prefix), queue, lambda one: one.tasks_completed == 2
        )


def test_the_forerunner_s_programmatic_usage(
    server: EmbeddedRedis, running: Programs, label: str
) -> None:
    redis_client = redis_py.Redis.from_url(server.url)
    queue_manager = UniversalQueueManager(redis_client)
    submitter = RateLimitedTaskSubmitter()
    queue_name = queue_manager.create_queue("5/60s")
    assert submitter.submit_task(queue_name, {"message": "Hello", "label": label})
    wait_for_data(server, label, 1)
    assert queue_manager.get_queue_stats(queue_name).tasks_failed == 0
    assert queue_manager.get_rate_limit_status(queue_name)["capacity"] == 1
