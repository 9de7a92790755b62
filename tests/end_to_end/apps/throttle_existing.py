"""An app that was there before, whose tasks go on as they did beside throttled queues."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from support.journal import Journal
from support.reporting import report
from support.throttled import BROKER, JOURNAL, LIMITS

from celery_ratekit.throttle import CeleryThrottle

app = Celery("my-app")
app.conf.update(broker_url=os.environ[BROKER])
if LIMITS in os.environ:
    app.conf.update(ratekit_redis_url=os.environ[LIMITS], ratekit_redis_timeout=10)
throttle = CeleryThrottle(celery_app=app)
journal = Journal(os.environ[JOURNAL])


@app.task(bind=True, name="my_existing_task", shared=False)
def my_existing_task(self: Any, label: str, number: int = 0) -> None:
    journal.write_start(self, label, number=number, worker=self.request.hostname)


@throttle.task_processor.handler
def handle(task_data: dict[str, Any]) -> None:
    journal.client.rpush(f"journal:data:{task_data['label']}", str(task_data["n"]))


report(journal)
