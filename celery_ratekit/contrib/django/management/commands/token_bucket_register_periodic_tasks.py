"""``manage.py token_bucket_register_periodic_tasks``."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

from celery_ratekit.contrib.django.buckets import token_bucket, token_buckets
from celery_ratekit.errors import BadOptionError

__all__ = ["Command"]


class Command(BaseCommand):
    """Registers the periodic tasks that refill token buckets in queues."""

    help = (
        "Creates, updates and removes the periodic tasks that refill token buckets in queues. Run "
        "it at each deployment; a second time it changes nothing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            buckets = [token_bucket(name) for name in token_buckets()]
        except BadOptionError as error:
            raise CommandError(str(error)) from error
        queued = [bucket for bucket in buckets if bucket.is_queued]
        if apps.is_installed("django_celery_beat"):
            self._register(buckets)
        elif queued:
            raise CommandError(
                f"expected django_celery_beat in INSTALLED_APPS for {queued[0].name!r}, whose "
                'tokens are in a queue; install django-celery-beat, or use backend="redis"'
            )
        for bucket in buckets:
            if not bucket.is_queued:
                self.stdout.write(f"{bucket.name}: in Redis, which needs no periodic task")

    def _register(self, buckets: Any) -> None:
        # Its models can be imported only where it is installed.
        from celery_ratekit.contrib.django.periodic_tasks import register  # noqa: PLC0415

        changes = register(buckets)
        for name in changes.created:
            self.stdout.write(f"{name}: created the periodic task that refills it")
        for name in changes.updated:
            self.stdout.write(f"{name}: updated its periodic task")
        for name in changes.unchanged:
            self.stdout.write(f"{name}: its periodic task is as it should be")
        for name in changes.removed:
            self.stdout.write(f"{name}: removed its periodic task")
