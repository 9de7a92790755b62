"""A Django site for tests: its settings, its database in memory, and its users."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

__all__ = ["configure", "make_tables", "user_with"]

APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "celery_ratekit.contrib.django",
    "django_celery_beat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "string_if_invalid": "INVALID %s",
        },
    }
]


def configure(**more: Any) -> None:
    """Django with its admin, once in a process."""
    if settings.configured:
        return
    values: dict[str, Any] = {
        "ALLOWED_HOSTS": ["testserver", "127.0.0.1"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "INSTALLED_APPS": APPS,
        "MIDDLEWARE": MIDDLEWARE,
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "ROOT_URLCONF": "support.django_urls",
        "SECRET_KEY": "of a site that lives as long as a test run",
        "STATIC_URL": "/static/",
        "TEMPLATES": TEMPLATES,
        "USE_TZ": True,
    }
    settings.configure(**{**values, **more})
    django.setup()


def make_tables() -> None:
    """Migrates the site's database."""
    call_command("migrate", verbosity=0)


def user_with(name: str, *permissions: str, **fields: Any) -> Any:
    """A member of the staff with these permissions on limits."""
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user(name, password=name, **{"is_staff": True, **fields})
    found = Permission.objects.filter(content_type__app_label="celery_ratekit")
    user.user_permissions.set(found.filter(codename__in=permissions))
    return user
