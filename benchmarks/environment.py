"""The environment of the workers that a benchmark starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from celery_ratekit.embedded.home import Home

__all__ = ["ROOT", "environment_of"]

ROOT = Path(__file__).parents[1]


def environment_of(home: Home, told: Mapping[str, str]) -> dict[str, str]:
    """This process' own with what the worker is told, without what would configure Celery."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CELERY")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # billiard leaves directories where a worker is killed.
    return {**kept, **told, "PYTHONPATH": path, "TMPDIR": str(home.path)}
