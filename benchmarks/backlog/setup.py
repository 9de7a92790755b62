"""What a worker of a run is told, through its environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["ACKNOWLEDGED", "EXPIRED", "FREE", "LIMIT", "LIMITED", "WorkerSetup"]

VARIABLE = "RATEKIT_BENCHMARK"

LIMITED, FREE = "limited", "free"
"""A task with a limit, and one without."""

ACKNOWLEDGED, EXPIRED = "acknowledged", "expired"
"""Two that no worker runs: one is acknowledged as soon as it is received, and the other has expired
long ago, so that Celery drops it."""

LIMIT = "benchmark"
"""The name of the limit: a token bucket with a burst of 1, for each user."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Servers, the folder of the `Book`, and the rate for each user as `TokenBucket` takes it."""

    broker_url: str
    limits_url: str
    folder: str
    rate: str

    def environment(self) -> Mapping[str, str]:
        """The variables that `of_environment` reads."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> WorkerSetup:
        """What a worker was told."""
        return cls(**json.loads(os.environ[VARIABLE]))
