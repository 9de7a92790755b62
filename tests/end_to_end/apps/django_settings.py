"""The settings of a Django project whose tasks are limited; the tests' setup goes over them."""

from __future__ import annotations

from celery.schedules import crontab
from support.workers import Setup

from celery_ratekit.contrib.django import TokenBucket

setup = Setup.of_environment()

SECRET_KEY = "of a site that lives as long as a test"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": setup.conf.get("site_database", ":memory:"),
    }
}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django_celery_beat",
    "celery_ratekit.contrib.django",
]

NEW_YEAR = crontab("0", "0", day_of_month="1", month_of_year="1")

CELERY_TOKEN_BUCKETS = {
    "queued": TokenBucket("queued", crontab(), amount=3, maximum=3, backend="queue"),
}
if not setup.conf.get("site_without_redis"):
    CELERY_TOKEN_BUCKETS |= {
        name: TokenBucket(name, NEW_YEAR, amount=3, maximum=3)
        for name in ("plain", "bound", "asking", "spending", "classy", "stacked", "called")
    }

CELERY_BROKER_URL = setup.broker
CELERY_RESULT_BACKEND = setup.backend
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_RATEKIT_OVERFLOW = "hold"
CELERY_TASK_STORE_EAGER_RESULT = False

globals().update({f"CELERY_{name.upper()}": value for name, value in setup.conf.items()})
