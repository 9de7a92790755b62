"""Submits plain data with nothing but the environment as configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["RateLimitedTaskSubmitter"]


class RateLimitedTaskSubmitter:
    """Submits to the queues of a throttle; default: one that is configured by the environment."""

    def __init__(self, throttle: Any = None) -> None:
        if throttle is None:
            # The throttle knows this package.
            from ..throttle import CeleryThrottle  # noqa: PLC0415

            throttle = CeleryThrottle()
        self.throttle = throttle

    def submit_task(self, queue_name: str, task_data: Mapping[str, Any]) -> bool:
        """As `CeleryThrottle.submit_task`."""
        return bool(self.throttle.submit_task(queue_name, task_data))

    def submit_multiple_tasks(
        self, queue_name: str, tasks_data: Sequence[Mapping[str, Any]]
    ) -> dict[str, int]:
        """As `CeleryThrottle.submit_multiple_tasks`."""
        counts: dict[str, int] = self.throttle.submit_multiple_tasks(queue_name, tasks_data)
        return counts
