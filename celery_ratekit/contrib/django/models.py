"""What Django's permissions and its admin need to speak of a limit; no table is behind it."""

from __future__ import annotations

from django.db import models

from .admin_ids import shown_id

__all__ = ["RateLimit"]


class NoRows(models.Manager):
    """Finds nothing: limits live in code and in Redis, and there is no table to ask."""

    def get_queryset(self) -> models.QuerySet:
        """Nothing, so that ``dumpdata`` and other commands that visit all models pass by."""
        return super().get_queryset().none()


class RateLimit(models.Model):
    """A rate limit, as permissions and the admin's history name it.

    ``id`` says kind and name (see `celery_ratekit.contrib.django.admin_ids.page_id`). There are
    two permissions: ``celery_ratekit.view_ratelimit`` and ``celery_ratekit.change_ratelimit``.
    """

    id = models.CharField(primary_key=True, max_length=100)

    objects = NoRows()

    class Meta:
        """No table, and no permissions to add or to delete: limits are declared in code."""

        managed = False
        base_manager_name = "objects"
        default_permissions = ("view", "change")
        verbose_name = "rate limit"
        verbose_name_plural = "rate limits"

    def __str__(self) -> str:
        return shown_id(self.id)
