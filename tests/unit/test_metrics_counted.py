"""Signals are counted under bounded labels; nothing is loaded where nobody counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from prometheus_client import REGISTRY
from support.processes import ROOT

from celery_ratekit import TokenBucket, signals
from celery_ratekit.metrics import labels, on_task_retry, rate_limit_hits, rate_limit_retries
from celery_ratekit.metrics.labels import Names

LIMIT = TokenBucket("stripe", "1/s")


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("tasks", "limits"):
        monkeypatch.setattr(labels, kind, Names())


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.ratekit_metrics_max_limits = 2
    yield app
    app.close()


@pytest.fixture
def task(app: Celery, request: pytest.FixtureRequest) -> Any:
    """A task with a name that no other test counts under."""
    return task_of(app, request.node.name)


def task_of(app: Celery, name: str) -> Any:
    def body() -> None:
        pass

    return app.task(name=name, shared=False)(body)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def hit(sender: Any, limit: TokenBucket = LIMIT, mode: str = "enforce") -> None:
    signals.rate_limit_hit.send(sender=sender, task_id="1", limit=limit, reason="rate", mode=mode)


def test_a_hit_is_counted_for_its_task_and_for_its_limit(task: Any) -> None:
    before = value("celery_ratekit_limit_hits_total", limit_name="stripe", reason="rate")
    hit(task)

    assert rate_limit_hits.labels(task.name)._value.get() == 1
    after = value("celery_ratekit_limit_hits_total", limit_name="stripe", reason="rate")
    assert after == before + 1


def test_a_hit_in_shadow_mode_is_counted_apart(task: Any) -> None:
    hit(task, mode="shadow")

    names = {"task_name": task.name, "limit_name": "stripe"}
    assert value("celery_ratekit_shadow_hits_total", **names) == 1
    assert value("celery_rate_limit_hits_total", task_name=task.name) == 0


def test_starts_are_counted_with_their_waits_but_not_those_in_shadow_mode(task: Any) -> None:
    fields = {"task_id": "1", "limits": (LIMIT,), "wait_seconds": 0.3, "lateness_seconds": 0.004}
    for mode in ("enforce", "degraded", "shadow"):
        signals.rate_limit_admitted.send(sender=task, mode=mode, **fields)

    for mode in ("enforce", "degraded", "shadow"):
        names = {"task_name": task.name, "mode": mode}
        assert value("celery_ratekit_admitted_total", **names) == 1
    names = {"task_name": task.name}
    assert value("celery_ratekit_wait_seconds_count", **names) == 2
    assert value("celery_ratekit_wait_seconds_sum", **names) == pytest.approx(0.6)
    assert value("celery_ratekit_lateness_seconds_bucket", **names, le="0.005") == 2
    assert value("celery_ratekit_lateness_seconds_bucket", **names, le="0.002") == 0


def test_a_retry_is_counted_if_its_reason_names_a_rate_limit(task: Any) -> None:
    on_task_retry(sender=task, reason="Rate Limit 'stripe': waits 2 s", request=None, einfo=None)
    on_task_retry(sender=task, reason="Retry in 1s: KeyError()")
    signals.rate_limit_retried.send(sender=task, task_id="1", reason="rate limit")

    assert rate_limit_retries.labels(task.name)._value.get() == 2


def test_tasks_beyond_what_the_app_allows_are_counted_together(app: Celery) -> None:
    before = value("celery_rate_limit_hits_total", task_name="other")
    for number in range(5):
        hit(task_of(app, f"task {number}"))

    assert value("celery_rate_limit_hits_total", task_name="other") == before + 3
    assert value("celery_rate_limit_hits_total", task_name="task 4") == 0


def test_keys_are_never_labels(task: Any) -> None:
    hit(task, LIMIT.with_key("ann@example.org"))

    shown = [sample.labels for family in REGISTRY.collect() for sample in family.samples]
    assert not any("ann@example.org" in one for labels in shown for one in labels.values())


def test_a_freeze_by_a_person_is_counted_without_a_task() -> None:
    names = {"limit_name": "stripe", "reason": "manager"}
    before = value("celery_ratekit_freezes_total", **names)
    signals.rate_limit_frozen.send(sender=None, limit=LIMIT, seconds=5.0, reason="manager")

    assert value("celery_ratekit_freezes_total", **names) == before + 1


def test_degradation_is_told_as_long_as_it_lasts(app: Celery) -> None:
    fields = {"sender": app, "policy": "wait"}
    signals.limiter_degraded.send(degraded=True, error=OSError("away"), **fields)
    assert value("celery_ratekit_degraded") == 1

    signals.limiter_degraded.send(degraded=False, error=None, **fields)
    assert value("celery_ratekit_degraded") == 0


@pytest.mark.parametrize(
    "module",
    ["celery_ratekit", "celery_ratekit.worker.observing.exporter", "celery_ratekit.cli.exporter"],
)
def test_prometheus_is_not_loaded_where_nobody_counts(module: str) -> None:
    source = f"import sys, {module}; sys.exit('prometheus_client' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )

    assert ended.returncode == 0
