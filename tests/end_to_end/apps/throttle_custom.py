"""A throttle with a processor of its own, which makes its own task."""

from __future__ import annotations

import os
from typing import Any

from support.journal import Journal
from support.reporting import report
from support.throttled import JOURNAL

from celery_ratekit.throttle import CeleryThrottle
from celery_ratekit.throttle.tasks.processor import RateLimitedTaskProcessor

journal = Journal(os.environ[JOURNAL])


class CustomTaskProcessor(RateLimitedTaskProcessor):
    def _register_task(self) -> None:
        @self.app.task(bind=True)
        def process_rate_limited_task(task_self: Any, queue_name: str, task_data: Any) -> Any:
            if task_data.get("type") == "email":
                return self.send_email(task_data)
            return self.call_webhook(task_data)

        self.process_rate_limited_task = process_rate_limited_task

    def send_email(self, task_data: dict[str, Any]) -> None:
        self.note(task_data, f"email {task_data['to']}")

    def call_webhook(self, task_data: dict[str, Any]) -> None:
        self.note(task_data, f"webhook {task_data['url']}")

    @staticmethod
    def note(task_data: dict[str, Any], text: str) -> None:
        journal.client.rpush(f"journal:data:{task_data['label']}", text)


throttle = CeleryThrottle()
custom_processor = CustomTaskProcessor(throttle.app, throttle.redis, throttle.queue_manager)
throttle.task_processor = custom_processor
app = throttle.app

report(journal)
