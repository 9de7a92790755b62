"""Where requests wait that may not start yet."""

from __future__ import annotations

from typing import Protocol

from .held import Held

__all__ = ["Hold", "Overflow"]


class Overflow(Protocol):
    """Takes over requests that their limits do not let start within the horizon."""

    def take(self, denied: list[Held]) -> list[Held]:
        """Takes over what it can; the rest waits in the worker. Called once for all of a turn."""
        ...


class Hold:
    """Takes nothing: all wait in the worker, unacknowledged, in its prefetched messages."""

    def take(self, denied: list[Held]) -> list[Held]:
        return []
