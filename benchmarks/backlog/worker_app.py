"""What ``celery -A`` loads in the workers of the benchmark."""

from __future__ import annotations

from .setup import WorkerSetup
from .tasks import make_app

__all__ = ["app"]

app = make_app(WorkerSetup.of_environment())
