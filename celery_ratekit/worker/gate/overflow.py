"""Where requests wait that may not start yet: in the worker, or elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from ...limits import Limit
from .held import Held, Line, Origin

__all__ = ["Hold", "Overflow"]


class Overflow(Protocol):
    """Takes over requests that their limits do not let start, and brings them back in time.

    The gate calls it from one thread at a time, but for `origin_of`.
    """

    @property
    def is_due(self) -> bool:
        """Whether something waits there that could start now."""
        ...

    def is_pulled(self, request: Any) -> bool:
        """Whether a request was brought back from there."""
        ...

    def origin_of(self, request: Any) -> Origin:
        """Where a request came from, and so where it may wait."""
        ...

    def look(self) -> None:
        """Finds out what is due there; called at the beginning of each turn."""
        ...

    def expects_more(self, waiting: int) -> bool:
        """Whether messages may come before any of those that wait here was taken over."""
        ...

    def take(self, line: Line, now: float) -> Collection[Held]:
        """Takes over what it can of those who wait in a line that was denied."""
        ...

    def pull(self, count: int) -> int:
        """Sends up to so many requests through the consumer that may start; how many came."""
        ...

    def revoke(self, task_ids: Sequence[str]) -> None:
        """Sends these through the consumer, which has been told not to run them."""
        ...

    def wake(self, names: Collection[str] | None) -> None:
        """Has those asked for soon who wait for limits of these names, or all (None).

        May be called from any thread; raises LimiterUnavailableError.
        """
        ...

    def came_back(self, held: Held) -> None:
        """Takes note of what a request waits for that was brought back."""
        ...

    def settle(self, freed: set[Limit]) -> None:
        """Writes down which requests are over; of ``freed`` limits, places came back."""
        ...

    def next_moment(self) -> float | None:
        """When the gate is to take a turn for it, by the gate's clock."""
        ...

    def shown(self) -> dict[str, Any]:
        """What is there, as plain data for people; may be called from another thread."""
        ...

    def open(self) -> None:
        """Begins with a new connection of the consumer."""
        ...

    def close(self) -> None:
        """Lets go of requests that came from there and have not begun."""
        ...

    def abandon(self) -> None:
        """Lets go of all: this worker ends."""
        ...


class Hold:
    """Takes nothing: all wait in the worker, unacknowledged, in its prefetched messages."""

    is_due = False

    def is_pulled(self, request: Any) -> bool:
        return False

    def origin_of(self, request: Any) -> Origin:
        return Origin.HELD

    def look(self) -> None:
        """Nothing is there."""

    def expects_more(self, waiting: int) -> bool:
        return False

    def take(self, line: Line, now: float) -> Collection[Held]:
        return ()

    def pull(self, count: int) -> int:
        return 0

    def revoke(self, task_ids: Sequence[str]) -> None:
        """Nothing is there."""

    def wake(self, names: Collection[str] | None) -> None:
        """Nothing is there."""

    def came_back(self, held: Held) -> None:
        """Nothing comes back."""

    def settle(self, freed: set[Limit]) -> None:
        """Nothing was taken."""

    def next_moment(self) -> float | None:
        return None

    def shown(self) -> dict[str, Any]:
        return {}

    def open(self) -> None:
        """Nothing to begin with."""

    def close(self) -> None:
        """Nothing was taken."""

    def abandon(self) -> None:
        """Nothing was taken."""
