"""What ``manage.py check`` tells of token buckets, their decorators and our settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import autodiscover_modules

from ...errors import BadOptionError, UnknownTokenBucketError, did_you_mean
from ...settings import PREFIX, Settings, settings_of
from .bucket_limit import known_limits
from .buckets import SETTING, project_app, token_buckets
from .token_bucket import TokenBucket

__all__ = ["check_buckets", "check_decorators", "check_settings"]

BEAT_APP = "django_celery_beat"


def check_buckets(**_: Any) -> list[CheckMessage]:
    """Buckets that cannot work."""
    try:
        buckets = token_buckets()
    except BadOptionError as error:
        return [_error("E001", str(error))]
    return [message for key, bucket in buckets.items() for message in _of_bucket(key, bucket)]


def check_decorators(**_: Any) -> list[CheckMessage]:
    """Decorators that name a bucket which is not registered."""
    # Where Celery looks for tasks by default; others may not be known yet, and are met by a worker.
    autodiscover_modules("tasks")
    try:
        known = token_buckets()
    except BadOptionError:
        return []  # That has been told.
    return [
        _error("E005", f"{limit.place}: {UnknownTokenBucketError(limit.name, known)}")
        for limit in known_limits()
        if limit.name not in known
    ]


def check_settings(**_: Any) -> list[CheckMessage]:
    """Misspelt names and impossible values among the settings with our prefix."""
    misspelt = list(_misspelt(dir(settings)))
    if misspelt:
        return [_error("E006", message) for message in misspelt]
    try:
        settings_of(project_app())
    except BadOptionError as error:
        return [_error("E007", str(error))]
    return []


def _of_bucket(key: object, bucket: TokenBucket) -> Iterator[CheckMessage]:
    where = f"{SETTING}[{key!r:.60}]"
    for problem in bucket.problems():
        yield _error("E002", f"{where}: {problem}")
    if bucket.name != key:
        yield _error(
            "E003",
            f"{where}: expected a key that is the bucket's name, got {key!r:.60} for "
            f"{bucket.name!r:.60}; give both the same",
        )
    if bucket.is_queued and not apps.is_installed(BEAT_APP):
        yield _error(
            "E004",
            f"{where}: expected {BEAT_APP} in INSTALLED_APPS, whose periodic tasks refill buckets "
            'in queues; install django-celery-beat, or keep it in Redis with backend="redis"',
        )


def _misspelt(names: Iterable[str]) -> Iterator[str]:
    # Celery's namespace is what the project says; nobody's else begins like ours.
    prefix = f"{project_app().namespace or 'CELERY'}_{PREFIX}".upper()
    known = [prefix + one.name.upper() for one in dataclasses.fields(Settings) if one.init]
    for name in names:
        if name.startswith(prefix) and name not in known:
            near = did_you_mean(name, known)
            yield f"there is no setting {name!r:.80}{near or '; see the settings page'}"


def _error(number: str, message: str) -> CheckMessage:
    return Error(message, id=f"celery_ratekit.{number}")
