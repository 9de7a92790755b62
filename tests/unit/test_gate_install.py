"""Installing the gate is done once however often it is asked for, and costs a client nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from celery import Celery

from celery_ratekit import TokenBucketTask
from celery_ratekit.install import install
from celery_ratekit.worker.check import CheckSettings
from celery_ratekit.worker.observing.exporter import Exporter
from celery_ratekit.worker.observing.retries import HearOfRetries
from celery_ratekit.worker.step import GateStep


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    yield app
    app.close()


def steps_of(app: Celery) -> dict[str, list[str]]:
    return {where: sorted(map(str, steps)) for where, steps in app.steps.items() if steps}


def test_a_second_time_is_harmless(app: Celery) -> None:
    install(app)
    once = steps_of(app)

    install(app)

    assert steps_of(app) == once
    assert sum(map(len, once.values())) == 4


def test_a_task_class_that_was_bound_after_adds_nothing(app: Celery) -> None:
    install(app)
    once = steps_of(app)

    @app.task(base=TokenBucketTask, name="limited", lazy=False, shared=False)
    def limited() -> None:
        pass

    assert steps_of(app) == once


def test_each_step_is_there_once_in_the_workers_blueprints(app: Celery) -> None:
    from celery.utils.imports import symbol_by_name

    install(app)
    install(app)

    loaded = {where: [symbol_by_name(one) for one in app.steps[where]] for where in app.steps}
    assert loaded["consumer"] == [GateStep]
    assert sorted(loaded["worker"], key=str) == sorted(
        [CheckSettings, Exporter, HearOfRetries], key=str
    )


def test_a_client_that_only_sends_does_not_load_what_runs_in_a_worker() -> None:
    program = """
import sys
from celery import Celery
from celery_ratekit import TokenBucketTask, compose, PerUserRateLimitTask
import celery_ratekit.autoinstall
from celery_ratekit.install import install

app = Celery("shop", broker="memory://")
install(app)

@app.task(base=TokenBucketTask, tokens_per_second="5/s")
def order():
    pass

order.apply_async()
print(sorted(name for name in sys.modules if name.startswith(("celery_ratekit.worker",
                                                              "celery.worker.consumer"))))
"""
    client = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert client.stdout.strip() == "[]"
