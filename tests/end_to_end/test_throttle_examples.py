"""The documented uses of throttled queues, against a real worker, broker and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis as redis_py
from celery import Celery
from support.journal import Journal, not_yet
from support.throttled import Programs, documented_environment, programs, wait_for_stats

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.throttle import CeleryThrottle, CeleryThrottleConfig
from celery_ratekit.throttle.config import RedisConfig
from celery_ratekit.throttle.queue_manager import UniversalQueueManager
from celery_ratekit.throttle.tasks import RateLimitedTaskSubmitter
from celery_ratekit.throttle.tasks.processor import RateLimitedTaskProcessor

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


def test_an_app_of_one_s_own_goes_on_as_before(server: EmbeddedRedis) -> None:
    app = Celery("my-app", set_as_current=False)
    app.conf.update(broker_url=server.celery_url)
    throttle = CeleryThrottle(celery_app=app)

    @app.task
    def my_existing_task(data: Any) -> Any:
        return data

    assert throttle.app is app
    api_queue = throttle.create_queue("100/1h")
    assert throttle.submit_task(api_queue, {"n": 1})
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("elsewhere")
        my_existing_task.apply_async(({"n": 2},), queue="elsewhere")
        message = queue.get(timeout=20)
        assert "ratekit_queue" not in message.headers
        message.ack()
        queue.close()
    throttle.remove_queue(api_queue)


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
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
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
    assert in_dictionary.submit_task(queue, {})
    assert not in_environment.submit_task(queue, {})


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


def test_a_large_batch_is_brought_in_at_once(running: Programs, label: str) -> None:
    throttle = CeleryThrottle()
    batch_queue = throttle.create_queue("1000/6h")
    tasks = [{"item_id": i, "label": label} for i in range(5_000)]
    results = throttle.submit_multiple_tasks(batch_queue, tasks)
    assert results == {"submitted": 1, "queued": 4_999}
    throttle.remove_queue(batch_queue)


def test_a_processor_of_one_s_own_takes_the_data() -> None:
    class CustomTaskProcessor(RateLimitedTaskProcessor):
        def _register_task(self) -> None:
            @self.app.task(bind=True)
            def process_rate_limited_task(task_self: Any, queue_name: str, task_data: Any) -> Any:
                return self.send_email(task_data) if task_data["type"] == "email" else None

            self.process_rate_limited_task = process_rate_limited_task

        @staticmethod
        def send_email(task_data: dict[str, Any]) -> str:
            return f"to {task_data['to']}"

    throttle = CeleryThrottle(queue_prefix=f"custom{uuid4().hex}")
    custom = CustomTaskProcessor(throttle.app, throttle.redis, throttle.queue_manager)
    throttle.task_processor = custom
    queue = throttle.create_queue("1/s")
    assert throttle.submit_task(queue, {"type": "email", "to": "ann"})
    body = throttle.redis.lindex(throttle.config.target_queue, 0)
    assert b"process_rate_limited_task" in body
    task = custom.process_rate_limited_task
    assert task(queue, {"type": "email", "to": "ann"}) == "to ann"


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
