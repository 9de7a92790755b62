"""The project's settings; SHOP_REDIS_URL says where its Redis is."""

import os

from celery.schedules import crontab

from celery_ratekit.contrib.django import TokenBucket

SECRET_KEY = "for this example only"  # noqa: S105 - nothing here is signed with it
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = [
    "celery_ratekit.contrib.django",
    "shop",
]

CELERY_BROKER_URL = os.environ.get("SHOP_REDIS_URL", "redis://127.0.0.1:6379/0")
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

CELERY_TOKEN_BUCKETS = {
    # Ten calls a minute, all of which may be used at once.
    "partner": TokenBucket("partner", schedule=crontab(), amount=10, maximum=10),
}
