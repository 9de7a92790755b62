"""A project whose tasks call a partner that allows ten calls a minute."""

from .celery import app as celery_app

__all__ = ["celery_app"]
