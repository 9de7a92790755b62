"""What goes into the backlog, what comes out of it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..limits import Limit

__all__ = [
    "Claim",
    "Claimed",
    "Draw",
    "DueLine",
    "DueLines",
    "Group",
    "Location",
    "Parking",
    "Return",
    "Sizes",
    "Waiting",
]


NO_TOKEN = bytes(8)


class Group(NamedTuple):
    """What waits together: the calls of one task in one queue under the same limits and keys.

    The limits are worked out: their names, keys and costs are values.
    """

    queue: str
    task: str
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Parking:
    """One message to be parked.

    ``identity`` is eight bytes that tell this message from others of the same task id, and
    ``may_be_stored`` whether it may have been parked before: by a delivery that the broker repeats,
    or by a `park` whose answer was lost. A message of which that is not said is always stored anew.
    Where a ``token`` of eight bytes is given, which no other message of this process has, it
    counts as stored for 15 s after it was, even if it is over by then: who missed the answer may
    ask again.
    ``rank`` is 0 to 255, the lower first inside the group. ``blocked_by`` is the limit of the group
    that said no, when the Redis clock was at ``asked_us`` (0: not known), and it is worth asking
    again in ``wait_seconds``; infinity counts as a day.
    """

    group: Group
    task_id: str
    identity: bytes
    may_be_stored: bool
    rank: int
    message: bytes = field(repr=False)
    blocked_by: Limit
    wait_seconds: float
    asked_us: int = 0
    token: bytes = NO_TOKEN


class Claim(NamedTuple):
    """An entry that a worker has claimed: nobody else gets it until it is given back.

    ``line_id`` is the line in which it was found, ``turn`` the turn of its group before.
    ``is_again``: it was claimed before, and may have run. ``is_last``: nobody of its group waits
    behind it. ``claimed_us`` is what Redis' clock said (0: not known), ``parked_us`` what it said
    when the entry was first stored.
    """

    queue: str
    task: str
    entry_id: bytes
    message: bytes
    line_id: bytes
    turn: int
    is_again: bool
    is_last: bool
    claimed_us: int = 0
    parked_us: int = 0


class Claimed(NamedTuple):
    """The entries that a worker got, in the order of their turns.

    ``next_due_seconds`` is the time from now until a line of a known task is due: 0 where more is
    due now, infinity where nothing waits.
    """

    claims: list[Claim]
    next_due_seconds: float


class DueLine(NamedTuple):
    """A line that is due: calls of one task that wait for the limit of this name.

    ``waiting`` counts its entries, up to the number that was asked for. ``group_id`` is the next
    group, which may stand in the line of another limit that it has: then it is counted alone.
    ``turn`` is that group's.
    """

    task_part: bytes
    group_id: bytes
    limit_name: str
    waiting: int
    turn: int


class DueLines(NamedTuple):
    """The lines that are due, those that have waited longest first.

    ``is_more``: there are further ones. ``next_due_seconds`` is the time until another line is due;
    infinity where none waits.
    """

    lines: list[DueLine]
    is_more: bool
    next_due_seconds: float


@dataclass(frozen=True, slots=True)
class Draw:
    """What is to be done with a line: ``count`` of its entries are claimed.

    After them the line waits for its ``limit``, which said when Redis' clock was at ``asked_us``
    that it is worth asking again in ``wait_seconds``. None: it is worth asking at once.
    """

    line: DueLine
    limit: Limit
    count: int
    wait_seconds: float | None
    asked_us: int


class Return(NamedTuple):
    """A claimed entry that goes back to its place.

    ``blocked_by`` is the limit that said no, if one did, when the Redis clock was at ``asked_us``
    (0: when the entry was claimed); the line of that limit is then not asked for before
    ``wait_seconds``. An entry that comes back without one may have run, and says so when it is
    claimed the next time. ``group`` is the group that it goes to where that is not the one it came
    from, because its limits were worked out anew.
    """

    claim: Claim
    blocked_by: Limit | None = None
    wait_seconds: float = 0.0
    group: Group | None = None
    asked_us: int = 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a queue's backlog holds.

    ``groups`` are those with waiting entries. ``by_task`` and ``by_limit`` count waiting entries,
    by the task's name and by the name of each limit that they have. ``oldest_age_seconds`` is how
    long the oldest waiting entry has been there; 0 where none waits.
    """

    waiting: int = 0
    claimed: int = 0
    groups: int = 0
    by_task: Mapping[str, int] = field(default_factory=dict)
    by_limit: Mapping[str, int] = field(default_factory=dict)
    oldest_age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry that waits. ``before`` of its group come first; ``parked_at`` is seconds since 1970.

    ``limit_name`` is the limit in whose line its group stands. ``task_id`` may end in "..." where
    it is very long. ``entry_id`` is what `Backlog.message` reads it by.
    """

    queue: str
    task: str
    task_id: str
    parked_at: float
    before: int
    limit_name: str
    entry_id: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Location:
    """Where the entry of a task id is. It was parked ``age_seconds`` ago.

    While it waits, ``before`` entries of its group come first, and ``groups_before`` of the
    ``groups`` of its line are served first in each round; the line is asked for again in
    ``due_seconds``. Of a claimed entry these are 0.
    """

    queue: str
    task: str
    state: Literal["waiting", "claimed"]
    parked_at: float
    age_seconds: float
    before: int
    groups_before: int
    due_seconds: float
    limit_name: str
    groups: int

    @property
    def before_in_line(self) -> int:
        """How many entries may start before it, where each group has as many left to serve."""
        return self.before * self.groups + self.groups_before
