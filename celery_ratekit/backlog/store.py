"""The backlog: throttled messages in Redis, first come first served per group, until their turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ..limiter.keys import KeySpace
from ..limiter.transport import Transport
from ..limits import Limit
from .caller import Caller
from .claiming import Claims
from .drawing import Drawing
from .ids import line_id
from .liveness import Liveness
from .parking import Parker
from .planning import Planning
from .registry import Registry
from .values import (
    Claim,
    Claimed,
    Draw,
    DueLines,
    Location,
    Parking,
    Return,
    Sizes,
    Waiting,
)
from .views import Views

__all__ = ["Backlog"]


class Backlog:
    """The backlogs of all queues of one namespace.

    ``clock`` gives whole microseconds since 1970; None: the server's own clock. All data of one
    queue lies in one slot of a cluster, so each step on it is atomic. All methods raise
    LimiterUnavailableError where there is no answer, and StateVersionError where a newer release
    wrote what was found. Nothing is asked twice: where the answer was lost, the step may be done.
    A drained backlog leaves no key behind.
    """

    def __init__(
        self, transport: Transport, keys: KeySpace, *, clock: Callable[[], int] | None = None
    ) -> None:
        self._caller = Caller(transport, keys, clock)
        self._registry = Registry(self._caller)
        self._parker = Parker(self._caller, self._registry)
        self._claims = Claims(self._caller, self._registry)
        self._drawing = Drawing(self._caller)
        self._planning = Planning(self._caller)
        self._liveness = Liveness(self._caller)
        self._views = Views(self._caller, self._registry)

    # -- waiting ----------------------------------------------------------------------------

    def park(self, parkings: Sequence[Parking], *, most: int | None = None) -> list[bool | None]:
        """Whether each message is stored, now or before; in one round trip to each server.

        False: the queue has as many as ``most`` entries already, waiting or claimed, that have a
        limit with the name of the one that said no, or 256 of the same task id. Raises where none
        is known to be stored. Where only some servers of a cluster failed, it is None for what
        belongs there, which may be stored all the same, as after an error: who parks it again says
        that it may be.
        """
        return self._parker.park(parkings, most)

    def next_due(self, queues: Sequence[str], tasks: Collection[str]) -> float:
        """Seconds until a line of one of the tasks is due; infinity where nothing waits.

        One plain command for each queue, and once a minute, when no other answer told the time, one
        more.
        """
        dues = self._planning.dues(queues, tasks)
        return min(
            (due for of_queue in dues.values() for due in of_queue.values()), default=math.inf
        )

    def dues(self, queues: Sequence[str], tasks: Collection[str]) -> dict[str, dict[str, float]]:
        """What `next_due` is about, by queue and task, of tasks that have something there."""
        return self._planning.dues(queues, tasks)

    def wake(self, queue: str, *, limit_name: str | None = None) -> int:
        """Makes lines ready that wait for a limit of this name, or all; how many they were."""
        return self._planning.wake(queue, limit_name)

    # -- claims -----------------------------------------------------------------------------

    def claim(
        self,
        queue: str,
        worker: str,
        tasks: Sequence[str],
        count: int,
        *,
        within_seconds: float = 0.0,
        freed: Iterable[Limit] = (),
    ) -> Claimed:
        """Up to ``count`` entries (and at most 1,000, or 4 MB) of the tasks, in their turn.

        Lines that are due ``within_seconds`` count as well, after those that are ready. Lines of
        limits that have been ``freed`` are ready from now on, also those of other tasks.
        """
        claimed, stepped_back = self._claims.claim(
            queue, worker, tasks, count, within_seconds=within_seconds, freed=freed
        )
        if stepped_back:  # What waits would wait for as long as the clock went back.
            self._planning.wake(queue, None)
        return claimed

    def soonest(self, queue: str) -> float:
        """Seconds until a line of any task is due; infinity where nothing waits.

        One plain command, and one more where no answer has told the time for a minute.
        """
        seconds, stepped_back = self._drawing.soonest(queue)
        if stepped_back:  # As for `claim`.
            self._planning.wake(queue, None)
            return 0.0
        return seconds

    def due_lines(self, queue: str, beginning: str, most_lines: int, most_entries: int) -> DueLines:
        """The lines that are due whose groups wait for a limit with this ``beginning`` of its name.

        For those who ask the limits first and `draw` then what these let start. Claims nothing.
        """
        found, stepped_back = self._drawing.due_lines(queue, beginning, most_lines, most_entries)
        if stepped_back:
            self._planning.wake(queue, None)
            return found._replace(is_more=True)
        return found

    def draw(self, queue: str, worker: str, draws: Sequence[Draw]) -> list[list[Claim]]:
        """Claims entries of lines and has the lines wait; the claims of each, in their turn.

        In one round trip. They may be fewer than asked for: others may have taken some.
        """
        return self._drawing.draw(queue, worker, draws)

    def take(self, queue: str, worker: str, task_ids: Sequence[str]) -> list[Claim]:
        """Claims what waits under these task ids, wherever it waits."""
        return self._claims.take(queue, worker, task_ids)

    def finish(self, queue: str, worker: str, entry_ids: Sequence[bytes]) -> int:
        """Forgets entries that the worker is done with; how many it still had."""
        return self._claims.finish(queue, worker, entry_ids)

    def give_back(self, worker: str, returns: Sequence[Return]) -> None:
        """Puts entries back to where they were, as far as the worker still has them.

        An entry that no limit denied may have run: it is given out as claimed before.
        """
        self._claims.give_back(worker, returns)

    def give_back_all(self, queue: str, worker: str, *, keep: Collection[bytes] = ()) -> int:
        """Puts back all that a worker has but ``keep``, as entries that may have run; how many.

        For a worker that died, or one that lost the answer to a claim and keeps what it knows of.
        """
        return self._claims.give_back_all(queue, worker, keep)

    def claimers(self, queue: str) -> list[str]:
        """The workers that have claims in a queue."""
        return self._claims.claimers(queue)

    def line_id(self, limit: Limit) -> bytes:
        """What a claim says of its line where this limit's no had put its group there."""
        return line_id(self._caller.keys, limit)

    # -- workers ----------------------------------------------------------------------------

    def say_alive(self, worker: str, ttl_seconds: float) -> None:
        """Counts the worker as alive for so long."""
        self._liveness.say_alive(worker, ttl_seconds)

    def say_gone(self, worker: str) -> None:
        """Counts the worker as dead from now on."""
        self._liveness.say_gone(worker)

    def alive(self, workers: Sequence[str]) -> list[bool]:
        """Whether each of the workers lives."""
        return self._liveness.alive(workers)

    # -- views ------------------------------------------------------------------------------

    def queues(self) -> list[str]:
        """The queues that have a backlog; one may be named for a moment longer or later."""
        return self._registry.queues()

    def sizes(self, queue: str, *, most_groups: int | None = None) -> Sizes:
        """How much the queue's backlog holds. The age costs a look into each group.

        With ``most_groups`` only so many are looked at: the oldest entry may be older then.
        """
        return self._views.sizes(queue, most_groups)

    def waiting_for(self, queue: str, limit_name: str) -> int:
        """How many entries wait that have a limit of this name."""
        return self._views.waiting_for(queue, limit_name)

    def peek(self, queue: str, count: int, *, limit_name: str | None = None) -> list[Waiting]:
        """Up to ``count`` (and at most 100) entries in the order in which their turn comes.

        That is the order where every limit says yes; entries whose limit is not to be asked yet
        come last. With ``limit_name`` those that have a limit of that name, as far as they stand
        within the first 2,000 lines.
        """
        return self._views.peek(queue, count, limit_name)

    def message(self, queue: str, entry_id: bytes) -> bytes | None:
        """The stored message of an entry that `peek` showed; None once it is gone."""
        return self._views.message(queue, entry_id)

    def locate(self, task_id: str, queue: str) -> Location | None:
        """Where the entry of a task id is: of several, the one that has waited longest."""
        return self._views.locate(task_id, queue)

    def purge(
        self,
        queue: str,
        *,
        limit_name: str | None = None,
        key: str | None = None,
        task: str | None = None,
        told: Callable[[Mapping[str, Sequence[bytes]]], None] | None = None,
    ) -> int:
        """Removes what waits and has all that is given, or everything; how many entries.

        ``key`` is that of the limit of this name, or of any limit. Claimed entries are left alone.
        ``told`` is called with what is removed, a part at a time: 16 bytes of each task's id, by
        the names of its limits.
        """
        return self._views.purge(queue, limit_name=limit_name, key=key, task=task, told=told)
