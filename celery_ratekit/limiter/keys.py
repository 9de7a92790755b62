"""The names of Redis keys: no name reaches another's data, whatever strangers put into it.

A key is ``namespace:kind{tag}rest``. Every part is percent-encoded, so that the characters that
give the key its structure never come from outside; what is long is replaced by its hash, so that
no key grows without bound. All data of one limit and key share the part in braces, by which Redis
Cluster chooses the node.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from urllib.parse import quote_from_bytes

from ..limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

__all__ = ["KeySpace"]

MAX_PART_LENGTH = 64
"""The most encoded characters of a name or key that are kept as they are."""

HASH_BYTES = 16
HASH_MARK = "~"  # Never in an encoded part, so a hash meets no literal one.
SAFE = "@+"  # Beside letters, digits and -._ ; readable in keys and without meaning to Redis.

STATE_LETTERS: dict[type[Limit], str] = {
    TokenBucket: "t",
    FixedWindow: "f",
    SlidingWindow: "s",
    ScheduledBucket: "c",
    Concurrency: "p",
}
FREEZE = "z"
MARK = "m"
RESERVATION = "r"
PRESENCE = "w"
BACKLOG = "b"
BACKLOGS = "q"
RECEIPTS = "p"
LIVENESS = "l"
OVERRIDES = "o"
ADAPTIVE = "a"
THROTTLED = "y"


class KeySpace:
    """The keys of one namespace.

    ``hash_keys`` replaces every key of a limit by its hash, for keys that must not be readable in
    Redis, such as e-mail addresses.
    """

    def __init__(self, namespace: str, *, hash_keys: bool = False) -> None:
        self._prefix = _encoded(namespace) + ":"
        self._hash_keys = hash_keys

    def state(self, limit: Limit) -> str:
        """Where the limit keeps what it counts for its key."""
        return f"{self._prefix}{STATE_LETTERS[type(limit)]}{self._place(limit)}"

    def freeze(self, limit: Limit) -> str:
        """Where a freeze of exactly this limit and key stands."""
        return f"{self._prefix}{FREEZE}{self._place(limit)}"

    def freeze_of_name(self, limit: Limit) -> str:
        """Where a freeze of the whole name, whatever the key, stands."""
        return f"{self._prefix}{FREEZE}{self._place(limit, keyed=False)}"

    def mark(self, limit: Limit) -> str:
        """Where it stands that calls wait in a backlog for this limit and key."""
        return f"{self._prefix}{MARK}{self._place(limit)}"

    def reservation(self, limit: Limit, reservation_id: str) -> str:
        """Where a reservation stands whose first limit is this."""
        tag = self._place(limit).partition("}")[0]
        return f"{self._prefix}{RESERVATION}{tag}}}{_encoded(reservation_id)}"

    def presence(self) -> str:
        """Where the limiters that are alive are counted."""
        return f"{self._prefix}{PRESENCE}"

    def backlog(self, queue: str) -> str:
        """What the names of all keys of a queue's backlog begin with; no key itself."""
        return f"{self._prefix}{BACKLOG}{{:{_encoded(queue)}}}"

    def receipts(self, queue: str, parker: str) -> str:
        """Where it stands what a process has parked in a queue; in the slot of its backlog."""
        return f"{self._prefix}{RECEIPTS}{{:{_encoded(queue)}}}{_encoded(parker)}"

    def backlogs(self) -> str:
        """Where the queues stand that have a backlog."""
        return f"{self._prefix}{BACKLOGS}"

    def liveness(self, worker: str) -> str:
        """Where it stands that a worker process lives."""
        return f"{self._prefix}{LIVENESS}{{:{_encoded(worker)}}}"

    def overrides(self) -> str:
        """Where the rates, pauses and switches stand that were set at run time."""
        return f"{self._prefix}{OVERRIDES}{{:overrides}}"

    def adaptive(self, name: str) -> str:
        """Where it stands what was learned about the rate of a name's limit."""
        return f"{self._prefix}{ADAPTIVE}{{{_encoded(name)}}}"

    def throttled(self, prefix: str) -> str:
        """What the keys about throttled queues of a prefix begin with; no key itself."""
        return f"{self._prefix}{THROTTLED}{{:{_encoded(prefix)}}}"

    def declarations(self) -> str:
        """Where the rates stand that live workers declare."""
        return self.overrides() + "d"

    @property
    def hides_keys(self) -> bool:
        """Whether limits' keys must not be readable in Redis."""
        return self._hash_keys

    def key_part(self, key: object) -> str:
        """A limit's key as a part of a Redis key."""
        return self._encoded_key(key)

    @staticmethod
    def part(text: str) -> str:
        """A name from strangers as a part of a key: of bounded length, without braces or colons."""
        return _encoded(text)

    def _place(self, limit: Limit, *, keyed: bool = True) -> str:
        name = _encoded(limit.name)
        if keyed and limit.key != "":
            name = f"{name}:{self._encoded_key(limit.key)}"
        # A tagged limit always has a name behind the brace, an untagged one never: they never meet.
        return f"{{{_encoded(limit.tag)}}}{name}" if limit.tag else f"{{{name}}}"

    def _encoded_key(self, key: object) -> str:
        text = str(key)
        return _hashed(text) if self._hash_keys else _encoded(text)


def _encoded(text: str) -> str:
    # Surrogates come from file names and broken clients; they are data like any other.
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= MAX_PART_LENGTH:
        encoded = quote_from_bytes(raw, safe=SAFE).replace(HASH_MARK, "%7E")
        if len(encoded) <= MAX_PART_LENGTH:
            return encoded
    return _hashed(text)


def _hashed(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(raw, digest_size=HASH_BYTES).digest()
    return HASH_MARK + urlsafe_b64encode(digest).decode().rstrip("=")
