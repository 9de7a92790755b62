"""What the backlog of one queue does, written as plainly as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from celery_ratekit.backlog import Group, Parking
from celery_ratekit.backlog.ids import group_id, line_id
from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limits import Limit

DAY_US = 86_400_000_000
RANK = 2**44

Line = tuple[str, Limit]
"""A task, and the limit (at a cost of 1) that its groups wait for."""


@dataclass(eq=False)
class Entry:
    parking: Parking
    group: Group
    number: int
    order: tuple[int, int]
    parked_us: int
    worker: str | None = None
    was_claimed: bool = False

    @property
    def message(self) -> bytes:
        return self.parking.message


@dataclass
class Given:
    """What a claim should say."""

    entry: Entry
    line: Limit
    turn: int
    is_again: bool
    is_last: bool


@dataclass
class Place:
    """Where a group stands."""

    line: Limit
    turn: int


@dataclass
class ModelBacklog:
    """Answers as `Backlog` should; ``now`` is set by the test."""

    keys: KeySpace
    now: int = 0
    entries: list[Entry] = field(default_factory=list)
    places: dict[Group, Place] = field(default_factory=dict)
    last_lines: dict[Group, Limit] = field(default_factory=dict)
    dues: dict[Line, int | None] = field(default_factory=dict)  # None: it is ready
    woken: dict[Limit, int] = field(default_factory=dict)
    all_woken: int = 0
    last_turn: int = 0
    sequence: int = 0

    # -- looking ----------------------------------------------------------------------------

    def waiting_of(self, group: Group) -> list[Entry]:
        found = [one for one in self.entries if one.worker is None and one.group == group]
        return sorted(found, key=lambda one: one.order)

    @property
    def waiting(self) -> list[Entry]:
        return [one for one in self.entries if one.worker is None]

    def claimed_by(self, worker: str) -> list[Entry]:
        found = [one for one in self.entries if one.worker == worker]
        return sorted(found, key=lambda one: one.order)

    def groups_in(self, line: Line) -> list[Group]:
        task, limit = line
        found = [
            group
            for group, place in self.places.items()
            if group.task == task and place.line == limit
        ]
        return sorted(
            found, key=lambda group: (self.places[group].turn, group_id(self.keys, group))
        )

    def next_due(self, tasks: Sequence[str]) -> int | None:
        """Us from now; None where nothing waits."""
        found = [due for (task, _), due in self.dues.items() if task in tasks]
        if not found:
            return None
        return min(0 if due is None else max(0, due - self.now) for due in found)

    def peek(self) -> list[tuple[Entry, int]]:
        def order(group: Group) -> tuple[int, int]:
            due = self.dues[group.task, self.places[group].line]
            return -1 if due is None else due, self.places[group].turn

        groups = sorted(self.places, key=order)
        queues = [self.waiting_of(group) for group in groups]
        longest = max(map(len, queues), default=0)
        return [
            (queue[before], before)
            for before in range(longest)
            for queue in queues
            if before < len(queue)
        ]

    # -- changing ---------------------------------------------------------------------------

    def park(self, parkings: Sequence[Parking], most: int | None) -> list[bool]:
        return [self._park(parking, most) for parking in parkings]

    def _park(self, parking: Parking, most: int | None) -> bool:
        twins = [one for one in self.entries if one.parking.task_id == parking.task_id]
        same = [one for one in twins if one.parking.identity == parking.identity]
        if parking.may_be_stored and same:
            return True
        name = parking.blocked_by.name
        if most is not None and _count(self.entries, name) >= most:
            return False
        numbers = {one.number for one in twins}
        number = next(number for number in range(300) if number not in numbers)
        self.sequence += 1
        order = (parking.rank, self.sequence)
        self.entries.append(Entry(parking, parking.group, number, order, self.now))
        if parking.group not in self.places:
            self._begin_to_wait(parking)
        return True

    def _begin_to_wait(self, parking: Parking) -> None:
        line = (parking.group.task, parking.blocked_by.with_cost(1))
        is_new_line, is_waiting = line not in self.dues, self.dues.get(line) is not None
        self.places[parking.group] = Place(line[1], self._next_turn())
        self.last_lines[parking.group] = line[1]
        if is_new_line or is_waiting:
            self._wait(line, parking.wait_seconds, parking.asked_us or self.now - 100_000)

    def count_of(self, name: str) -> int:
        return _count(self.waiting, name)

    def claim(
        self,
        worker: str,
        tasks: Sequence[str],
        count: int,
        within_us: int,
        freed: Iterable[Limit],
    ) -> list[Given]:
        if not self.entries:
            return []
        limits = [limit.with_cost(1) for limit in freed]
        self.woken.update(dict.fromkeys(limits, self.now))
        for line, due in self.dues.items():
            is_due = due is not None and due <= self.now and line[0] in tasks
            if is_due or line[1] in limits:
                self.dues[line] = None
        given: list[Given] = []
        while len(given) < count:
            line_due = self._next_line(tasks)
            if line_due is None or line_due[1] > self.now + within_us:
                break
            given.append(self._pick(worker, line_due[0]))
        return given

    def _next_line(self, tasks: Sequence[str]) -> tuple[Line, int] | None:
        def order(line: Line) -> tuple[bool, int, int, bytes]:
            due = self.dues[line]
            if due is None:
                due = self.places[self.groups_in(line)[0]].turn
                return False, due, tasks.index(line[0]), line_id(self.keys, line[1])
            return True, due, tasks.index(line[0]), line_id(self.keys, line[1])

        lines = sorted((line for line in self.dues if line[0] in tasks), key=order)
        return (lines[0], self.dues[lines[0]] or 0) if lines else None

    def _pick(self, worker: str, line: Line) -> Given:
        group = self.groups_in(line)[0]
        turn = self.places[group].turn
        entry = self.waiting_of(group)[0]
        entry.worker = worker
        is_last = not self.waiting_of(group)
        if is_last:
            del self.places[group]
        else:
            self.places[group].turn = self._next_turn()
        self.dues[line] = None
        self._tidy()
        return Given(entry, line[1], turn, entry.was_claimed, is_last)

    def take(self, worker: str, task_ids: Sequence[str]) -> list[Given]:
        given = []
        for task_id in task_ids:
            twins = [one for one in self.waiting if one.parking.task_id == task_id]
            for entry in sorted(twins, key=lambda one: one.number):
                place = self.places[entry.group]
                entry.worker = worker
                is_last = not self.waiting_of(entry.group)
                if is_last:
                    del self.places[entry.group]
                given.append(Given(entry, place.line, place.turn, entry.was_claimed, is_last))
                self._tidy()
        return given

    def finish(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.entries.remove(entry)
        self._tidy()

    def give_back(
        self,
        given: Given,
        limit: Limit | None,
        wait_seconds: float,
        *,
        asked_us: int,
        group: Group | None = None,
    ) -> None:
        entry = given.entry
        self._put_back(entry, given.turn, limit, group or entry.group)
        if limit is not None:
            self._wait((entry.group.task, limit.with_cost(1)), wait_seconds, asked_us)

    def give_back_all(self, worker: str) -> int:
        entries = self.claimed_by(worker)
        for entry in entries:
            self._put_back(entry, entry.parked_us, None, entry.group)
        return len(entries)

    def _put_back(self, entry: Entry, turn: int, limit: Limit | None, group: Group) -> None:
        entry.worker, entry.group = None, group
        if limit is None:
            entry.was_claimed = True
        place = self.places.get(group)
        if place is None:
            last = self.last_lines.get(group, group.limits[0].with_cost(1))
            place = self.places[group] = Place(last, turn)
        place.turn = min(place.turn, turn)
        if limit is not None:
            place.line = limit.with_cost(1)
        self.last_lines[group] = place.line
        self.dues.setdefault((group.task, place.line), None)
        self._tidy()

    def wake(self, name: str | None) -> int:
        if not self.entries:
            return 0
        self.all_woken = self.now
        lines = [
            line
            for line, due in self.dues.items()
            if due is not None and name in (None, line[1].name)
        ]
        for line in lines:
            self.dues[line] = None
        return len(lines)

    def purge(self, name: str | None, key: str | None, task: str | None) -> int:
        def is_meant(entry: Entry) -> bool:
            if task not in (None, entry.group.task):
                return False
            return (name is None and key is None) or any(
                name in (None, limit.name) and key in (None, str(limit.key))
                for limit in entry.group.limits
            )

        gone = [entry for entry in self.waiting if is_meant(entry)]
        for entry in gone:
            self.entries.remove(entry)
        for group in list(self.places):
            if not self.waiting_of(group):
                del self.places[group]
        self._tidy()
        return len(gone)

    # -- lines and turns --------------------------------------------------------------------

    def _next_turn(self) -> int:
        self.last_turn = max(self.now, self.last_turn + 1)
        return self.last_turn

    def _wait(self, line: Line, seconds: float, asked_us: int) -> None:
        wait = min(DAY_US, seconds * 1_000_000)
        if wait <= 0 or max(self.all_woken, self.woken.get(line[1], 0)) >= asked_us:
            self.dues[line] = None
            return
        at = self.now + int(wait)
        due = self.dues.get(line)
        self.dues[line] = at if due is None else min(at, due)

    def _tidy(self) -> None:
        """Forgets lines without groups, and groups without entries."""
        used = {(group.task, place.line) for group, place in self.places.items()}
        self.dues = {line: due for line, due in self.dues.items() if line in used}
        groups = {entry.group for entry in self.entries}
        self.last_lines = {
            group: line for group, line in self.last_lines.items() if group in groups
        }
        if not self.entries:
            self.woken, self.all_woken, self.last_turn, self.sequence = {}, 0, 0, 0


def _count(entries: Sequence[Entry], name: str) -> int:
    """How many have a limit of this name."""
    return sum(any(limit.name == name for limit in one.group.limits) for one in entries)
