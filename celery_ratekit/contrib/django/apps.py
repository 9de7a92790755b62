"""The Django app: ``INSTALLED_APPS += ["celery_ratekit.contrib.django"]``."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import register

__all__ = ["RatekitConfig"]


class RatekitConfig(AppConfig):
    """Lets the workers of the project limit tasks, and has the settings checked."""

    name = "celery_ratekit.contrib.django"
    label = "celery_ratekit"
    verbose_name = "Rate limits"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: PLC0415 - may be imported once the settings are there

        for check in (checks.check_buckets, checks.check_decorators, checks.check_settings):
            register(check, "celery_ratekit")
        # Puts the gate into whatever worker this process starts: a project may have several apps.
        import_module("celery_ratekit.autoinstall")
        # Known to all of them, also where a project finds its tasks in another way than Celery's.
        import_module("celery_ratekit.contrib.django.tasks")
