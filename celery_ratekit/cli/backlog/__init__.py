"""``celery-ratekit backlog``: look at what waits in Redis, remove it, or send it back."""

from .group import backlog

__all__ = ["backlog"]
