"""What the processes of a run are told, through their environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from celery import Celery

from celery_ratekit.throttle import CeleryThrottle

__all__ = ["SENT", "TASK", "Setup", "number_of", "task_id"]

VARIABLE = "RATEKIT_BENCHMARK"
TASK = "note"

SENT = "sent"
"""The label in the book."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Servers, and the folder of the book."""

    broker_url: str
    limits_url: str
    folder: str

    def environment(self) -> Mapping[str, str]:
        """The variables that `of_environment` reads."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> Setup:
        """What a process was told."""
        return cls(**json.loads(os.environ[VARIABLE]))

    def plain_app(self) -> Celery:
        """An app without anything of ours."""
        app = Celery("benchmark", broker=self.broker_url, set_as_current=False)
        app.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True)
        return app

    def throttle(self) -> CeleryThrottle:
        """The throttle whose queues are measured."""
        app = self.plain_app()
        app.conf.ratekit_redis_url = self.limits_url
        return CeleryThrottle(celery_app=app, queue_prefix="benchmark")


def task_id(number: int) -> str:
    """The id of a task by its number in the run."""
    return str(UUID(int=number + 1))


def number_of(task_id: str) -> int:
    """The number of a task by its id."""
    return UUID(task_id).int - 1
