"""The periodic tasks of django-celery-beat that refill buckets in queues."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from .tasks import REFILL_TASK
from .token_bucket import TokenBucket

__all__ = ["NAME_PREFIX", "Changes", "register"]

NAME_PREFIX = "token_bucket:"
"""What the names of our periodic tasks begin with; others, of people's own, are left alone."""

FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


@dataclass
class Changes:
    """The names of the buckets whose periodic tasks were changed, and how."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def register(buckets: Iterable[TokenBucket]) -> Changes:
    """Makes the periodic tasks be those of the buckets in queues; the same again changes nothing.

    What a person switched off stays off, and what beat knows of the last run is kept.
    """
    changes = Changes()
    queued = {bucket.name: bucket for bucket in buckets if bucket.is_queued}
    with transaction.atomic():
        for bucket in queued.values():
            _register(bucket, changes)
        for task in PeriodicTask.objects.filter(task=REFILL_TASK, name__startswith=NAME_PREFIX):
            name = task.name.removeprefix(NAME_PREFIX)
            if name not in queued:
                task.delete()
                changes.removed.append(name)
    return changes


def _register(bucket: TokenBucket, changes: Changes) -> None:
    wanted = {
        "task": REFILL_TASK,
        "crontab": _crontab(bucket.schedule),
        "interval": None,
        "solar": None,
        "clocked": None,
        "args": json.dumps([bucket.name]),
        "queue": bucket.token_refill_queue,
        "one_off": False,
    }
    task, is_new = PeriodicTask.objects.get_or_create(
        name=NAME_PREFIX + bucket.name, defaults=wanted
    )
    if is_new:
        changes.created.append(bucket.name)
    elif _is_as(task, wanted):
        changes.unchanged.append(bucket.name)
    else:
        for name, value in wanted.items():
            setattr(task, name, value)
        task.save()  # Each save has beat read them anew.
        changes.updated.append(bucket.name)


def _is_as(task: Any, wanted: Mapping[str, Any]) -> bool:
    return all(getattr(task, name) == value for name, value in wanted.items())


def _crontab(schedule: Any) -> Any:
    """The stored schedule that says the same, in the same time zone."""
    spec = {one: _field(schedule, one) for one in FIELDS}
    found = CrontabSchedule.objects.filter(**spec, timezone=schedule.tz).first()
    return found or CrontabSchedule.objects.create(**spec, timezone=schedule.tz)


def _field(schedule: Any, name: str) -> str:
    """A field as cron writes it; a crontab also takes numbers and sets of them."""
    given = getattr(schedule, f"_orig_{name}")
    if isinstance(given, (str, int)):
        return str(given)
    return ",".join(str(one) for one in sorted(getattr(schedule, name)))
