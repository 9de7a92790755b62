"""What the ``celery`` program loads as it starts: ``celery ratekit``, and our inspect commands.

``celery inspect`` sends only commands that its own process knows, which may have loaded no app
that brings them.
"""

from __future__ import annotations

from copy import copy

from ..worker.remote import control as _control  # noqa: F401 - makes the inspect commands known
from .group import main

__all__ = ["ratekit"]

ratekit = copy(main)
ratekit.name = "ratekit"
