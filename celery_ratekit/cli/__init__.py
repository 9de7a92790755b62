"""The command line: ``celery-ratekit``."""

from .group import main

__all__ = ["main"]
