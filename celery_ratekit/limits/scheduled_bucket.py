"""A bucket that is refilled at the instants of a crontab."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from ..errors import BadLimitError
from .base import Cost, Key, Limit
from .checks import checked_size, shown_number

__all__ = ["Schedule", "ScheduledBucket"]

MAX_REFILLS = 10_000
"""The most refills from empty to full of a scheduled bucket; each may have to be worked out."""


class Schedule(Protocol):
    """What refills a scheduled bucket; ``celery.schedules.crontab`` is one."""

    def remaining_delta(self, last_run_at: datetime) -> tuple[datetime, Any, datetime]:
        """The moment asked about, the time from it to the next instant, and the present."""
        ...

    def maybe_make_aware(self, dt: datetime) -> datetime:
        """The same moment in the schedule's own time zone."""
        ...


class ScheduledBucket(Limit):
    """Refilled with ``amount`` tokens at the instants of ``schedule``, up to ``maximum``.

    ``schedule`` is a ``celery.schedules.crontab``. Its instants are worked out when the limit is
    asked, so nothing needs to run at them. The bucket starts full.
    """

    __slots__ = ("amount", "maximum", "schedule")
    _own_fields = ("schedule", "amount", "maximum")
    schedule: Schedule
    amount: float
    maximum: float

    def __init__(
        self,
        name: str = "",
        schedule: Schedule | None = None,
        amount: float | None = None,
        maximum: float | None = None,
        *,
        key: Key | Callable[[Any], Key] = "",
        cost: Cost | Callable[[Any], Cost] = 1,
        tag: str = "",
    ) -> None:
        if schedule is None or not hasattr(schedule, "remaining_delta"):
            raise BadLimitError(
                f"expected a celery.schedules.crontab as schedule of the limit {name!r}, got "
                f"{type(schedule).__name__}; write for example crontab(minute=0)"
            )
        added = checked_size("amount", amount, name)
        most = added if maximum is None else checked_size("maximum", maximum, name)
        if added > most:
            raise BadLimitError(
                f"expected an amount of at most the maximum in the limit {name!r}, got {added:g} "
                f"and {most:g}; raise the maximum"
            )
        if most / added > MAX_REFILLS:
            raise BadLimitError(
                f"expected at most {MAX_REFILLS:,} refills to fill the limit {name!r}, got "
                f"{most / added:g}; raise the amount or lower the maximum"
            )
        super().__init__(name, key, cost, tag, schedule=schedule, amount=added, maximum=most)

    @property
    def capacity(self) -> float:
        return self.maximum

    def _own_parts(self) -> list[str]:
        return [
            f"schedule={self.schedule!r}",
            f"amount={shown_number(self.amount)}",
            f"maximum={shown_number(self.maximum)}",
        ]
