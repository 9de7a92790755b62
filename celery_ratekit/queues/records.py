"""What is kept of a throttled queue, and the limit that it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ..errors import StateVersionError
from ..limits import TokenBucket
from ..rates import Rate
from .places import QueuePlace

__all__ = ["QueueRecord", "bucket_of"]

VERSION = 1


@dataclass(frozen=True)
class QueueRecord:
    """One throttled queue.

    ``rate`` is the text as it was written, ``target`` Celery's queue that its tasks go to;
    ``is_active``: False while it is deactivated. ``created_us`` and ``lowered_us``: when it was
    made and its rate last lowered (0: never), us since 1970. ``is_auto_named``: it expires.
    """

    place: QueuePlace
    rate: str
    target: str
    is_active: bool
    is_auto_named: bool
    created_us: int
    lowered_us: int = 0

    def packed(self) -> bytes:
        """The record as Redis keeps it."""
        fields = [
            VERSION,
            self.rate,
            self.target,
            self.is_active,
            self.is_auto_named,
            self.created_us,
            self.lowered_us,
        ]
        return json.dumps(fields).encode()

    @classmethod
    def read(cls, place: QueuePlace, packed: bytes) -> QueueRecord:
        """What was packed; raises StateVersionError where a newer release did it."""
        version, *fields = json.loads(packed)
        if version != VERSION:
            raise StateVersionError(
                f"expected version {VERSION} of the throttled queue {place.name!r:.60}, got "
                f"{version!r:.20}; update this process to the release that wrote it"
            )
        return cls(place, *fields)

    @cached_property
    def parsed_rate(self) -> Rate:
        """The rate as a value; its text is as it was written."""
        return Rate.parse(self.rate)

    @cached_property
    def limit(self) -> TokenBucket:
        """The limit of its tasks now: one that lets nothing pass while it is deactivated.

        >>> place = QueuePlace("throttle", "stripe")
        >>> QueueRecord(place, "10/60s", "work", True, False, 0).limit
        TokenBucket('throttle/stripe', '10/60s')
        """
        return bucket_of(
            self.place, self.rate if self.is_active else "0", self.lowered_us / 1e6, self.burst
        )

    @property
    def burst(self) -> float:
        """How many tasks may start at once after a pause: 1 unless the rate says it."""
        return 1.0 if self.parsed_rate.burst is None else self.parsed_rate.burst


@lru_cache(4_096)
def bucket_of(place: QueuePlace, rate: str, lowered_at: float, burst: float) -> TokenBucket:
    """The limit of a queue."""
    return TokenBucket(place.limit_name, rate, burst, lowered_at=lowered_at)
