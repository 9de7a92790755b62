"""Rates, pauses and switches that are set at run time, kept in Redis."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...errors import TooManyOverridesError
from ...limits import Key, Limit
from ..keys import KeySpace
from ..resp import pack
from ..scripts import Script
from ..steps import Command
from ..transport import Transport
from .declared import packed_declarations, read_declaration
from .places import ANY_KIND, Place, kind_of
from .records import Change, read_record
from .scripts import DECLARE, READ, WRITE
from .view import Snapshot

__all__ = ["MAX_RECORDS", "OverrideStore", "names_of_message"]

MAX_RECORDS = 10_000
"""The most overrides of one namespace: every process of it keeps them all."""

MAX_DECLARATIONS = 10_000
MAX_DECLARED_AT_ONCE = 1_000

REMEMBERED_SECONDS = 86_400.0
"""How long a rate that ended is remembered, so that keys that have expired under it meanwhile do
not start full under a lower one."""

MAX_TOLD = 100
"""Names in one message; where there are more, everybody looks at all."""


class OverrideStore:
    """The overrides of one namespace.

    ``clock`` gives whole microseconds since 1970; None: the server's own clock. All methods raise
    LimiterUnavailableError where there is no answer. All data lies in one slot of a cluster.
    """

    def __init__(
        self, transport: Transport, keys: KeySpace, *, clock: Callable[[], int] | None = None
    ) -> None:
        self.keys = keys
        self._transport = transport
        self._clock = clock
        self._records = keys.overrides().encode()
        self._declared = keys.declarations().encode()

    @property
    def channel(self) -> bytes:
        """Where each change is published."""
        return self._records

    def place(
        self, layer: str, name: str, key: Key = "", kind: Limit | type[Limit] | None = None
    ) -> Place:
        """Where the override of a name, or of one key of it, stands."""
        letter = ANY_KIND if kind is None else kind_of(kind)
        part = "" if key == "" else self.keys.key_part(key)
        return Place(layer, letter, self.keys.part(name) if name else "", part)

    def version(self) -> bytes | None:
        """What is another whenever something was changed."""
        command = pack((b"HGET", self._records, b"v"))
        version: bytes | None = self._transport.ask(self._records, command)
        return version

    def read(self) -> Snapshot:
        """All that stands there, as far as this release can read it."""
        now, fields, declared = self._run(READ, [struct.pack("<d", self._clock_us())])
        stored = dict(zip(fields[::2], fields[1::2], strict=True))
        version = stored.pop(b"v", None)
        stored.pop(b"p", None)
        records = (read_record(field, packed) for field, packed in stored.items())
        declarations = (
            read_declaration(packed, float(until))
            for packed, until in zip(declared[::2], declared[1::2], strict=True)
        )
        return Snapshot(
            float(now),
            version,
            tuple(one for one in records if one is not None),
            tuple(one for one in declarations if one is not None),
        )

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Makes all changes at once; for each whether it was made.

        Not made are those whose ``only_if`` does not hold, and ends of what is not there. Raises
        TooManyOverridesError, without any change, where there would be more than MAX_RECORDS.
        """
        if not changes:
            return []
        header = struct.pack("<ddI", self._clock_us(), REMEMBERED_SECONDS * 1e6, MAX_RECORDS)
        message = _message(())
        arguments = [part for change in changes for part in change.arguments()]
        answer = self._run(WRITE, [header, self.channel, message, *arguments])
        if answer[0] == -1:
            raise TooManyOverridesError(MAX_RECORDS, len(changes))
        return [done == 1 for done in answer[1:]]

    def declare(self, limits: Iterable[Limit], seconds: float) -> int:
        """Says for a time what the limits of a worker are; how many of them were taken."""
        declarations = packed_declarations(limits)[:MAX_DECLARED_AT_ONCE]
        if not declarations:
            return 0
        header = struct.pack("<ddI", self._clock_us(), seconds * 1e6, MAX_DECLARATIONS)
        message = _message(())
        return int(self._run(DECLARE, [header, self.channel, message, *declarations]))

    def tell(self, names: Iterable[str]) -> None:
        """Tells whoever listens that limits of these names may let calls start that they denied."""
        message = _message(names)
        command = pack((b"PUBLISH", self.channel, message))
        self._transport.ask(self._records, command)

    def _run(self, script: Script, arguments: Sequence[bytes]) -> Any:
        keys = (self._records, self._declared)
        packed = pack((b"EVALSHA", script.sha, b"2", *keys, *arguments))
        return self._transport.ask(*Command(self._records, packed, script))

    def _clock_us(self) -> int:
        return 0 if self._clock is None else self._clock()


def names_of_message(message: object) -> list[str] | None:
    """The names of which something was published beside what stands in the store; None: any."""
    try:
        names = json.loads(message) if isinstance(message, (bytes, str)) else None
    except ValueError:
        return None
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        return None
    return names


def _message(names: Iterable[str]) -> bytes:
    told = list(dict.fromkeys(names))
    return json.dumps(told if len(told) <= MAX_TOLD else None).encode()
