"""What a worker of a run does, told to it through its environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["TASK_NAME", "Variant", "WorkerSetup"]

VARIABLE = "RATEKIT_BENCHMARK"

TASK_NAME = "note"
"""The one task that is sent; variants differ in what it is in the worker."""


@dataclass(frozen=True)
class Variant:
    """A kind of worker.

    - ``installed``: False is plain Celery, where nothing of celery_ratekit is loaded.
    - ``rate_per_second``: the limit of the task; None: it has none, but another of the app has.
    - ``gate``: False: limited tasks send themselves again to their start.
    - ``notes_grants``: whether the task notes what it was granted, which takes its time.
    """

    name: str
    installed: bool = True
    rate_per_second: float | None = None
    burst: float = 1
    gate: bool = True
    notes_grants: bool = False


@dataclass(frozen=True)
class WorkerSetup:
    """All that a worker is told: its variant, its servers, and the book with room for ``size``."""

    variant: Variant
    broker_url: str
    limits_url: str
    book_path: str
    size: int

    def environment(self) -> Mapping[str, str]:
        """The variables that `of_environment` reads."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> WorkerSetup:
        """What a worker was told."""
        told = json.loads(os.environ[VARIABLE])
        return cls(**{**told, "variant": Variant(**told["variant"])})
