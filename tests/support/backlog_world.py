"""A backlog and its model side by side: all is put to both, and their answers are compared."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import redis

from celery_ratekit.backlog import Backlog, Claim, Group, Parking, Return
from celery_ratekit.backlog.ids import line_id
from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limits import Concurrency, Limit, TokenBucket

from .backlog_model import Given, ModelBacklog
from .world import Clock

QUEUE = "some queue"
READY = 2**52

API, API_K = TokenBucket("api", "1/s"), TokenBucket("api", "1/s", key="k")
PLACES = Concurrency("places", 2)

GROUPS = [
    Group(QUEUE, "send", (API,)),
    Group(QUEUE, "send", (API_K,)),
    Group(QUEUE, "send", (API_K, PLACES)),
    Group(QUEUE, "fetch", (API,)),
    Group(QUEUE, "fetch", (PLACES, API)),
]
TASKS = ["send", "fetch"]
WORKERS = ["w0", "w1"]
TASK_IDS = ["3f2504e0-4f89-11d3-9a0c-0305e82c3301", "not a uuid", "x", "y", "z"]
LIMITS: list[Limit] = [API, API_K, PLACES]


class BacklogWorld:
    """Begins with an empty Redis."""

    def __init__(self, client: redis.Redis, backlog: Backlog, keys: KeySpace, clock: Clock) -> None:
        client.flushdb()
        clock.reset()
        self.client = client
        self.backlog = backlog
        self.keys = keys
        self.clock = clock
        self.model = ModelBacklog(keys, now=clock.now)
        self.has: dict[str, list[tuple[Claim, Given]]] = {worker: [] for worker in WORKERS}
        self._messages = 0

    def check(self) -> None:
        self._check_sizes()
        self._check_keys()
        self._check_views()
        for tasks in (["send"], TASKS):
            due = self.model.next_due(tasks)
            expected = math.inf if due is None else due / 1e6
            assert self.backlog.next_due([QUEUE], tasks) == expected

    # -- operations -------------------------------------------------------------------------

    def park(self, asked: Sequence[tuple[int, int, int, bool, int, int]], most: int | None) -> None:
        """``asked``: group, task id, identity, whether it may be stored, rank, wait in seconds."""
        parkings = []
        for group, task_id, identity, may_be_stored, rank, wait in asked:
            self._messages += 1
            limits = GROUPS[group].limits
            parkings.append(
                Parking(
                    group=GROUPS[group],
                    task_id=TASK_IDS[task_id],
                    identity=hashlib.blake2b(bytes([identity]), digest_size=8).digest(),
                    may_be_stored=may_be_stored,
                    rank=rank,
                    message=b"message %d" % self._messages,
                    blocked_by=limits[identity % len(limits)],
                    wait_seconds=wait,
                    asked_us=self.clock.now - identity * 1_000_000,
                )
            )
        stored = self.backlog.park(parkings, most=most)
        assert stored == self.model.park(parkings, most)

    def claim(
        self, worker: int, tasks: Sequence[str], count: int, within: int, freed: Sequence[int]
    ) -> None:
        name, limits = WORKERS[worker], [LIMITS[index] for index in freed]
        claimed = self.backlog.claim(QUEUE, name, tasks, count, within_seconds=within, freed=limits)
        given = self.model.claim(name, tasks, count, within * 1_000_000, limits)
        self._compare(name, claimed.claims, given)
        due = self.model.next_due(tasks)
        assert claimed.next_due_seconds == (math.inf if due is None else due / 1e6)

    def take(self, worker: int, task_id: int) -> None:
        name = WORKERS[worker]
        claims = self.backlog.take(QUEUE, name, [TASK_IDS[task_id]])
        self._compare(name, claims, self.model.take(name, [TASK_IDS[task_id]]))

    def finish(self, worker: int, count: int) -> None:
        done, self.has[WORKERS[worker]] = self._split(worker, count)
        other = WORKERS[1 - worker]
        entries = [claim.entry_id for claim, _ in done]
        assert self.backlog.finish(QUEUE, other, entries) == 0
        assert self.backlog.finish(QUEUE, WORKERS[worker], entries) == len(entries)
        assert self.backlog.finish(QUEUE, WORKERS[worker], entries) == 0
        self.model.finish([given.entry for _, given in done])

    def give_back(self, worker: int, count: int, which: int | None, wait: int, move: bool) -> None:
        """``which`` of its limits says no to the first ``count``; ``move`` them elsewhere."""
        back, self.has[WORKERS[worker]] = self._split(worker, count)
        returns = []
        for claim, given in back:
            group = next(one for one in GROUPS if one.task == claim.task) if move else None
            limits = (group or given.entry.group).limits
            limit = None if which is None else limits[which % len(limits)]
            returns.append(Return(claim, limit, wait, group, self.clock.now))
            self.model.give_back(given, limit, wait, asked_us=self.clock.now, group=group)
        for _ in range(2):  # The second time they are nobody's.
            self.backlog.give_back(WORKERS[worker], returns)

    def die(self, worker: int) -> None:
        self.has[WORKERS[worker]] = []
        count = self.backlog.give_back_all(QUEUE, WORKERS[worker])
        assert count == self.model.give_back_all(WORKERS[worker])

    def wake(self, name: str | None) -> None:
        assert self.backlog.wake(QUEUE, limit_name=name) == self.model.wake(name)

    def purge(self, name: str | None, key: str | None, task: str | None) -> None:
        removed = self.backlog.purge(QUEUE, limit_name=name, key=key, task=task)
        assert removed == self.model.purge(name, key, task)

    def step(self, by: int) -> None:
        self.clock.step(by)
        self.model.now = self.clock.now

    def flush_scripts(self) -> None:
        self.client.script_flush()

    def _split(self, worker: int, count: int) -> tuple[list[Any], list[Any]]:
        claims = self.has[WORKERS[worker]]
        return claims[:count], claims[count:]

    def _compare(self, worker: str, claims: Sequence[Claim], given: Sequence[Given]) -> None:
        said = [
            (one.task, one.message, one.line_id, one.turn, one.is_again, one.is_last)
            for one in claims
        ]
        expected = [
            (
                one.entry.group.task,
                one.entry.message,
                line_id(self.keys, one.line),
                one.turn,
                one.is_again,
                one.is_last,
            )
            for one in given
        ]
        assert said == expected
        self.has[worker] += zip(claims, given, strict=True)

    # -- what is in Redis -------------------------------------------------------------------

    def _check_sizes(self) -> None:
        sizes, model = self.backlog.sizes(QUEUE), self.model
        waiting = model.waiting
        tasks = {task: sum(one.group.task == task for one in waiting) for task in TASKS}
        names = {name: model.count_of(name) for name in ("api", "places")}
        assert sizes.waiting == len(waiting)
        assert sizes.claimed == len(model.entries) - len(waiting)
        assert sizes.groups == len(model.places)
        assert sizes.by_task == {task: number for task, number in tasks.items() if number}
        assert sizes.by_limit == {name: number for name, number in names.items() if number}
        oldest = min((one.parked_us for one in waiting), default=self.clock.now)
        assert sizes.oldest_age_seconds == max(0, self.clock.now - oldest) / 1e6
        workers = {one.worker for one in model.entries if one.worker is not None}
        assert self.backlog.claimers(QUEUE) == sorted(workers)
        assert self.backlog.queues() == ([QUEUE] if model.entries else [])

    def _check_keys(self) -> None:
        """Each group is in one line, and the scores of lines and tasks say what is below them."""
        if not self.model.entries:
            assert list(self.client.scan_iter()) == []
            return
        prefix = self.keys.backlog(QUEUE).encode()
        stored = {key.removeprefix(prefix) for key in self.client.scan_iter(prefix + b"*")}
        groups = sorted(key[1:] for key in stored if key.startswith(b"g"))
        lines = [prefix + key for key in stored if key.startswith(b"l")]
        assert sorted(group for line in lines for group, _ in self._scores(line)) == groups
        lowest = {}
        for key in stored:
            if key.startswith(b"d"):
                dues = self._scores(prefix + key)
                lowest[key[1:]] = dues[0][1]
                for line, score in dues:
                    first_turn = self._scores(prefix + b"l" + line + key[1:])[0][1]
                    assert score >= 0 or score == first_turn - READY
        assert dict(self._scores(prefix + b"t")) == lowest
        records: dict[bytes, bytes] = self.client.hgetall(prefix + b"m")  # type: ignore[assignment]
        assert len(records) == len(self.model.entries)
        assert {one[9:25] for one in records.values()} == set(self.client.hkeys(prefix + b"i"))
        assert {one[:16] for one in records} >= set(self.client.hkeys(prefix + b"x"))

    def _scores(self, key: bytes) -> list[tuple[bytes, float]]:
        found: Any = self.client.zrange(key, 0, -1, withscores=True)
        return [(member, score) for member, score in found]

    def _check_views(self) -> None:
        model = self.model
        turns = [place.turn for place in model.places.values()]
        if len(set(turns)) == len(turns):
            peeked = [(one.task_id, one.before) for one in self.backlog.peek(QUEUE, 100)]
            assert peeked == [(one.parking.task_id, before) for one, before in model.peek()]
        for task_id in TASK_IDS:
            twins = [one for one in model.entries if one.parking.task_id == task_id]
            location = self.backlog.locate(task_id, QUEUE)
            if location is None:
                assert not twins
            elif location.state == "claimed":
                assert twins
                assert all(one.worker for one in twins)
            else:
                entry = min((one for one in twins if not one.worker), key=lambda one: one.order)
                line = (entry.group.task, model.places[entry.group].line)
                assert location.before == model.waiting_of(entry.group).index(entry)
                assert location.groups_before == model.groups_in(line).index(entry.group)
                assert location.due_seconds == max(0, (model.dues[line] or 0) - model.now) / 1e6
                assert location.limit_name == line[1].name
