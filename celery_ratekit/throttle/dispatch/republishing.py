"""Messages that were put together once are published as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["as_published"]


def as_published(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a message as kombu takes them, which wants an expiration in seconds."""
    taken = dict(properties)
    if taken.get("expiration") is not None:
        taken["expiration"] = float(taken["expiration"]) / 1_000
    return taken
