"""``celery-ratekit limits``: look at limits and change them while workers run."""

from .group import limits

__all__ = ["limits"]
