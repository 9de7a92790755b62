"""What a change at run time did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Adjusted"]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A change of one limit's name and key, or of a plain Celery task.

    ``old`` and ``new``: rates as texts such as ``"100/m"``, ``"paused"``, ``"unlimited"``; ``old``
    is empty where it is not known. ``replies``: of a plain Celery task, what each worker answered.
    """

    name: str
    key: str
    old: str
    new: str
    replies: Mapping[str, Any] = field(default_factory=dict)
