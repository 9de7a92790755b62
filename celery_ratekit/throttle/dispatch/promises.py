"""What a dispatcher has in hand: claimed tasks, each with the start that its queue has granted."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import NamedTuple

from ...backlog import Claim
from ...limiter import Decision
from ...limits import TokenBucket
from ...queues import QueuePlace
from ...worker.backlog.parcel import Parcel

__all__ = ["Hand", "Promise"]


class Promise(NamedTuple):
    """A claimed task that is to be sent ``at`` a moment; ``claimed_at`` is when it was claimed.

    Both by the dispatcher's clock, seconds.
    """

    at: float
    claimed_at: float
    claim: Claim
    parcel: Parcel
    place: QueuePlace
    limit: TokenBucket
    decision: Decision


class Hand:
    """Promises by their moments; those of one moment in the order in which they came."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Promise]] = []
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, promises: Iterable[Promise]) -> None:
        """Takes promises into the hand."""
        for one in promises:
            self._numbers += 1
            heapq.heappush(self._heap, (one.at, self._numbers, one))

    @property
    def next_at(self) -> float:
        """The first moment; infinity where nothing is promised."""
        return self._heap[0][0] if self._heap else math.inf

    def pop_due(self, now: float, most: int) -> list[Promise]:
        """Up to so many whose moment has come, however long ago: being late is not being early."""
        due: list[Promise] = []
        while self._heap and self._heap[0][0] <= now and len(due) < most:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def pop_all(self) -> list[Promise]:
        """Everything, in order."""
        return self.pop_due(math.inf, len(self._heap))

    def entries(self) -> list[bytes]:
        """The entries of the backlog that are in the hand."""
        return [one.claim.entry_id for _, _, one in self._heap]
