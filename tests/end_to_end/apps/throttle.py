"""A throttle that is configured by the environment, with tasks that note what they do."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from support.journal import Journal
from support.reporting import report
from support.throttled import JOURNAL, PLAIN, REDELIVERED_AFTER

from celery_ratekit.throttle import CeleryThrottle

BACK_SOON = {
    "visibility_timeout": float(os.environ.get(REDELIVERED_AFTER, "3")),
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
"""What a killed worker had comes back within seconds, where the broker is a Redis."""


def make_throttle() -> CeleryThrottle:
    celery: dict[str, Any] = {
        "broker_transport_options": BACK_SOON,
        "ratekit_redis_timeout": 10,  # A busy machine takes its time to answer.
    }
    if os.environ.get(PLAIN):
        celery["ratekit_gate"] = False
        celery["worker_prefetch_multiplier"] = 10
    return CeleryThrottle(celery=celery)


def add_tasks(throttle: CeleryThrottle, journal: Journal) -> None:
    task = throttle.app.task

    @throttle.task_processor.handler
    def handle(task_data: dict[str, Any]) -> Any:
        label = task_data.get("label", "data")
        journal.client.rpush(f"journal:data:{label}", repr(sorted(task_data.items())))
        return task_data

    @task(bind=True, name="note", shared=False)
    def note(self: Any, label: str, number: int = 0, seconds: float = 0) -> int:
        journal.write_start(self, label, number=number, worker=self.request.hostname)
        time.sleep(seconds)
        return number

    @task(bind=True, name="note_early", shared=False, acks_late=False)
    def note_early(self: Any, label: str, number: int = 0, seconds: float = 0) -> int:
        journal.write_start(self, label, number=number, worker=self.request.hostname)
        time.sleep(seconds)
        return number

    @task(bind=True, name="add", shared=False)
    def add(self: Any, *numbers: int) -> int:
        journal.write_start(self, "add")
        return sum(numbers)

    @task(bind=True, name="fail", shared=False)
    def fail(self: Any, label: str) -> None:
        journal.write_start(self, label)
        raise ValueError("as asked")


def add_dying_tasks(throttle: CeleryThrottle, journal: Journal) -> None:
    task = throttle.app.task

    @task(bind=True, name="die_once", shared=False, acks_late=True, reject_on_worker_lost=True)
    def die_once(self: Any, label: str) -> None:
        journal.write_start(self, label)
        if journal.client.set(f"died:{label}", "1", nx=True):
            os.kill(os.getpid(), signal.SIGKILL)

    @task(bind=True, name="die", shared=False)
    def die(self: Any, label: str) -> None:
        journal.write_start(self, label)
        os.kill(os.getpid(), signal.SIGKILL)


def add_retried_task(throttle: CeleryThrottle, journal: Journal) -> None:
    @throttle.app.task(bind=True, name="try_again", shared=False, max_retries=2)
    def try_again(self: Any, label: str) -> None:
        journal.write_start(self, label)
        if self.request.retries < 2:
            raise self.retry(countdown=0.1)


throttle = make_throttle()
app = throttle.app

if JOURNAL in os.environ:
    _journal = Journal(os.environ[JOURNAL])
    add_tasks(throttle, _journal)
    add_dying_tasks(throttle, _journal)
    add_retried_task(throttle, _journal)
    report(_journal)
