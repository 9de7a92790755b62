"""Lets a worker fail at its start, not at each task, where no Redis is configured."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from .runtime import runtime_of

__all__ = ["check_settings_at_start"]


class CheckSettings(bootsteps.Step):
    """Raises BadOptionError or RedisNotConfiguredError before the worker takes a task."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        runtime = runtime_of(worker.app)
        if runtime.settings.enabled:
            _ = runtime.limiter  # Reads the address, and connects to nothing.


def check_settings_at_start(app: Any) -> None:
    """Has the workers of ``app`` check the settings when they start."""
    app.steps["worker"].add(CheckSettings)
