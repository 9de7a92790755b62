"""Puts the gate into the workers of an app."""

from __future__ import annotations

from typing import Any

__all__ = ["install"]


def install(app: Any) -> None:
    """Has every worker of ``app`` pass received tasks through the gate; a second time is harmless.

    Using one of the task classes does it as well, and so does
    ``imports = ("celery_ratekit.autoinstall",)`` in the app's configuration.
    """
    # By name: whoever only sends tasks need not load what runs in a worker.
    app.steps["worker"].add("celery_ratekit.worker.check:CheckSettings")
    app.steps["worker"].add("celery_ratekit.worker.observing.retries:HearOfRetries")
    app.steps["worker"].add("celery_ratekit.worker.observing.exporter:Exporter")
    app.steps["consumer"].add("celery_ratekit.worker.step:GateStep")
