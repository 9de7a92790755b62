"""The names that users of throttled queues write, each as it was documented from the beginning."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields
from typing import Any

import pytest

from celery_ratekit.errors import QueueNotFound, RatekitError
from celery_ratekit.throttle import (
    CeleryThrottle,
    CeleryThrottleConfig,
    QueueConfig,
    QueueManager,
    QueueStats,
    RateLimitedTaskProcessor,
    RateLimitedTaskSubmitter,
    RedisConfig,
    UniversalQueueManager,
    WorkerInfo,
    WorkerQueueInfo,
)
from celery_ratekit.throttle.config import CeleryConfig

MODULES = {
    "celery_ratekit.throttle": ["CeleryThrottle", "CeleryThrottleConfig"],
    "celery_ratekit.throttle.config": ["CeleryThrottleConfig", "RedisConfig", "CeleryConfig"],
    "celery_ratekit.throttle.tasks.processor": ["RateLimitedTaskProcessor"],
    "celery_ratekit.throttle.queue_manager": ["UniversalQueueManager"],
    "celery_ratekit.throttle.tasks": ["RateLimitedTaskSubmitter"],
}

REQUIRED = inspect.Parameter.empty

QUEUES: dict[str, dict[str, Any]] = {
    "create_queue": {"rate_limit": REQUIRED, "queue_name": None},
    "remove_queue": {"queue_name": REQUIRED},
    "update_rate_limit": {"queue_name": REQUIRED, "rate_limit": REQUIRED},
    "activate_queue": {"queue_name": REQUIRED},
    "deactivate_queue": {"queue_name": REQUIRED},
    "list_queues": {},
    "get_queue_stats": {"queue_name": REQUIRED},
    "get_rate_limit_status": {"queue_name": REQUIRED},
}

METHODS: dict[type, dict[str, dict[str, Any]]] = {
    CeleryThrottle: {
        "__init__": {
            "celery_app": None,
            "redis_client": None,
            "config": None,
            "task_processor": None,
            "task_processor_cls": None,
            "overrides": REQUIRED,
        },
        "from_env": {"prefix": "CELERY_THROTTLE_", "arguments": REQUIRED},
        "from_config_dict": {"config_dict": REQUIRED, "arguments": REQUIRED},
        "set_task_processor": {"processor": REQUIRED},
        **QUEUES,
        "submit_task": {"queue_name": REQUIRED, "task_data": REQUIRED},
        "submit_multiple_tasks": {"queue_name": REQUIRED, "tasks_data": REQUIRED},
        "run_worker": {"queues": None, "options": REQUIRED},
        "run_dedicated_worker": {"options": REQUIRED},
        "run_dispatcher": {"interval": 1.0},
        "get_worker_info": {},
        "get_worker_queue_summary": {},
        "get_worker_count": {},
        "is_worker_infrastructure_healthy": {},
    },
    QueueManager: {
        **QUEUES,
        "queue_exists": {"queue_name": REQUIRED},
        "get_queue_config": {"queue_name": REQUIRED},
        "can_process_task": {"queue_name": REQUIRED},
        "increment_stat": {"queue_name": REQUIRED, "stat": REQUIRED, "amount": 1},
    },
    UniversalQueueManager: {
        "__init__": {"redis_client": REQUIRED, "queue_prefix": None, "target_queue": None},
        **QUEUES,
    },
    RateLimitedTaskSubmitter: {
        "__init__": {"throttle": None},
        "submit_task": {"queue_name": REQUIRED, "task_data": REQUIRED},
    },
    RateLimitedTaskProcessor: {
        "__init__": {"app": REQUIRED, "redis": None, "queue_manager": None},
        "_register_task": {},
    },
    CeleryThrottleConfig: {
        "from_env": {"prefix": "CELERY_THROTTLE_"},
        "from_dict": {"given": REQUIRED},
    },
}

PROPERTIES = {
    CeleryThrottle: ["redis", "queue_manager", "task_processor"],
    QueueManager: ["queue_prefix"],
}

RECORDS = {
    QueueConfig: {"name", "rate_limit", "active", "created_at"},
    QueueStats: {
        "tasks_waiting",
        "tasks_processing",
        "tasks_completed",
        "tasks_failed",
        "created_at",
        "active",
    },
    WorkerInfo: {"status", "total_tasks", "active_tasks", "reserved_tasks", "queue_sizes"},
    WorkerQueueInfo: {"total_size", "workers_listening"},
}

SETTINGS: dict[Any, dict[str, Any]] = {
    RedisConfig: {
        "host": "localhost",
        "port": 6_379,
        "db": 0,
        "password": None,
        "decode_responses": False,
    },
    CeleryConfig: {
        "broker_url": None,
        "result_backend": None,
        "worker_concurrency": 1,
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
    },
    CeleryThrottleConfig: {
        "app_name": "celery-throttle",
        "queue_prefix": "throttle",
        "target_queue": "throttle_rate_limited",
    },
}


@pytest.mark.parametrize("module", MODULES)
def test_each_name_is_imported_from_where_it_was(module: str) -> None:
    found = vars(importlib.import_module(module))
    assert [name for name in MODULES[module] if name not in found] == []


@pytest.mark.parametrize(
    ("kind", "method"), [(kind, name) for kind, methods in METHODS.items() for name in methods]
)
def test_each_method_takes_the_documented_arguments_with_their_defaults(
    kind: type, method: str
) -> None:
    found = inspect.signature(getattr(kind, method)).parameters
    taken = {name: one.default for name, one in found.items() if name != "self"}
    assert taken == METHODS[kind][method]


@pytest.mark.parametrize("kind", PROPERTIES)
def test_each_attribute_is_there(kind: type) -> None:
    assert [name for name in PROPERTIES[kind] if not hasattr(kind, name)] == []


def test_another_task_processor_can_be_assigned() -> None:
    assert CeleryThrottle.task_processor.fset is not None  # type: ignore[attr-defined]  # a property


@pytest.mark.parametrize("kind", RECORDS)
def test_what_is_returned_has_the_documented_fields(kind: Any) -> None:
    assert RECORDS[kind] <= {one.name for one in fields(kind)}


@pytest.mark.parametrize("kind", SETTINGS)
def test_each_setting_has_its_default(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [one for one in os.environ if one.startswith("CELERY_THROTTLE_")]:
        monkeypatch.delenv(name)
    made = kind()
    assert {name: getattr(made, name) for name in SETTINGS[kind]} == SETTINGS[kind]


def test_a_queue_that_is_not_there_is_an_error_that_can_be_caught_with_all_others() -> None:
    assert issubclass(QueueNotFound, RatekitError)
