"""The token buckets of the project's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import current_app
from django.conf import settings

from ...errors import BadOptionError, UnknownTokenBucketError
from .token_bucket import TokenBucket

__all__ = ["SETTING", "project_app", "token_bucket", "token_buckets"]

SETTING = "CELERY_TOKEN_BUCKETS"


def token_buckets() -> Mapping[str, TokenBucket]:
    """The buckets by name; raises BadOptionError where the setting is no dictionary of them."""
    given: Any = getattr(settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise BadOptionError(
            f"expected a dictionary from names to token buckets as {SETTING}, got "
            f'{type(given).__name__}; write for example {{"my_api": TokenBucket("my_api", ...)}}'
        )
    for name, bucket in given.items():
        if not isinstance(bucket, TokenBucket):
            raise BadOptionError(
                f"expected a TokenBucket of celery_ratekit.contrib.django as "
                f"{SETTING}[{name!r:.60}], got {type(bucket).__name__}"
            )
    return given


def token_bucket(name: str) -> TokenBucket:
    """The bucket of this name.

    Raises UnknownTokenBucketError where there is none, BadOptionError where it cannot work.
    """
    known = token_buckets()
    bucket = known.get(name)
    if bucket is None:
        raise UnknownTokenBucketError(name, known)
    if bucket.name != name:
        raise BadOptionError(
            f"expected the token bucket of {SETTING}[{name!r}] to have that name, got "
            f"{bucket.name!r:.60}; give both the same"
        )
    _ = bucket.limit  # which tells of what cannot work
    return bucket


def project_app() -> Any:
    """The Celery app of the project, that ``shared_task`` uses too."""
    return current_app._get_current_object()
