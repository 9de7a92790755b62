"""What became of each task, and what of it the kills explain."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from .book import Line
from .broker_trace import Traces

__all__ = ["Verdict", "judge"]

ACK_SECONDS = 0.25
"""What was acknowledged so shortly before a kill may not have left the machine: AMQP's client does
not wait for an answer."""

LOST_CHILD_SECONDS = 2.0
"""Within so long a worker notices that a child is gone."""

ROUNDING = 1e-3
"""Of a count: sums of microseconds in floating point."""

KILLS_OF_WORKERS = ("kill:worker", "kill:parent")


@dataclass(slots=True)
class Verdict:
    """``kills`` counts (step, victim).

    - ``not_noted``: accepted, but no worker ever had them: kombu took them and was killed before
      it had noted that. Shown by Redis' own append-only file.
    - ``not_begun``: acknowledged early, since a child had accepted them, which was killed before
      the body's first line. So would it be without a limit.
    - ``lost``: accepted, and neither run nor explained.
    - ``in_flight``: how much workers had at the kills, and ``repeated`` how often a task ran again.
    - ``stored_twice``: those of ``repeated`` that ran from the backlog before the broker delivered
      them again, because who parked them was killed before it could acknowledge.
    - ``by_pool``: those of ``repeated`` that the pool ran again under the same grant: their child
      was killed before the parent had read that it accepted them. Their grant counts once.
    - ``unexplained``: ids that ran more often than they were in flight at a kill.
    - ``beyond``: for each user the most grants in any time beyond what the rate allows; the burst
      is 1.
    - ``left``: what the backlog left in Redis.
    """

    accepted: int = 0
    uncertain: int = 0
    begun: int = 0
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_noted: list[str] = field(default_factory=list)
    not_begun: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    in_flight: int = 0
    repeated: int = 0
    stored_twice: int = 0
    by_pool: int = 0
    unexplained: list[str] = field(default_factory=list)
    beyond: dict[str, float] = field(default_factory=dict)
    before_grant: int = 0
    left: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What must not be; empty where all is well."""
        inexact = {user: most for user, most in self.beyond.items() if most > 1 + ROUNDING}
        found = {
            "lost": self.lost,
            "ran again without having been in flight": self.unexplained,
            "granted beyond the rate": inexact,
            "began before their grant": self.before_grant,
            "left in Redis": self.left,
        }
        return [f"{what}: {which}" for what, which in found.items() if which]


def judge(
    lines: Sequence[Line],
    accepted: Collection[str],
    traces: Traces | None,
    per_second: float,
) -> Verdict:
    """Judges a run by its book; ``traces`` are what the broker wrote, where that is a Redis."""
    verdict = Verdict(accepted=len(accepted))
    runs = Counter(line.task_id for line in lines if line.word == "begin")
    verdict.begun = len(runs)
    verdict.kills.update(_kills(lines))
    _judge_missing(verdict, set(accepted) - runs.keys(), lines, traces)
    _judge_repeated(verdict, runs, _InFlight(lines, counts_redis=traces is not None))
    verdict.stored_twice = _stored_twice(lines, runs)
    _judge_grants(verdict, lines, per_second)
    return verdict


def _kills(lines: Iterable[Line]) -> Iterable[tuple[str, str]]:
    for line in lines:
        if line.word.startswith("kill:"):
            yield line.more, line.word.removeprefix("kill:")


def _judge_missing(
    verdict: Verdict, missing: set[str], lines: Sequence[Line], traces: Traces | None
) -> None:
    lost_children = _ids_of_lost_children(lines) if missing else set()
    for task_id in sorted(missing):
        if traces is not None and traces.last.get(task_id) == "queued":
            verdict.not_noted.append(task_id)
        elif task_id in lost_children:
            verdict.not_begun.append(task_id)
        else:
            verdict.lost.append(task_id)
    if traces is not None and len(verdict.not_noted) > traces.not_noted:
        verdict.lost += verdict.not_noted  # More than anybody took without a note.


def _ids_of_lost_children(lines: Sequence[Line]) -> set[str]:
    """Who was over for the broker as soon as a child had it, and whose child then was killed."""
    handed: dict[str, str] = {}
    over: dict[str, float] = {}
    found = set()
    for line in lines:
        if line.word == "handed":
            handed[line.task_id] = line.worker
        elif line.word == "over" and handed.get(line.task_id) == line.worker:
            over[line.task_id] = line.at
        elif line.word == "failed" and "WorkerLostError" in line.more:
            found.add(line.task_id)
        elif line.word in KILLS_OF_WORKERS:
            since = line.at - LOST_CHILD_SECONDS
            found |= {one for one, at in over.items() if at >= since and handed[one] == line.worker}
    return found & over.keys()


def _judge_repeated(verdict: Verdict, runs: Counter[str], in_flight: _InFlight) -> None:
    verdict.in_flight = in_flight.count.total()
    verdict.repeated = sum(count - 1 for count in runs.values())
    verdict.unexplained = [
        task_id for task_id, count in runs.items() if count - 1 > in_flight.count[task_id]
    ]


def _stored_twice(lines: Iterable[Line], runs: Counter[str]) -> int:
    parked: set[tuple[str, str]] = set()  # and not acknowledged by who did it
    for line in lines:
        if line.word == "parked":
            parked.add((line.worker, line.task_id))
        elif line.word == "over" and line.more == "message":
            parked.discard((line.worker, line.task_id))
    return sum(runs[task_id] > 1 for task_id in {task_id for _, task_id in parked})


class _InFlight:
    """How often each task was in flight at a kill: received or claimed, and not over.

    A task that a worker has both as a message and as a claim counts twice: either may come again.
    """

    def __init__(self, lines: Iterable[Line], *, counts_redis: bool) -> None:
        self.count: Counter[str] = Counter()
        self._has: dict[str, set[tuple[str, str]]] = defaultdict(set)  # worker: (id, as what)
        self._over: dict[str, deque[tuple[float, str]]] = defaultdict(lambda: deque(maxlen=200))
        self._last_of_child: dict[int, tuple[str, str]] = {}  # pid: (worker, id)
        self._dying: set[str] = set()
        self._redis_is_down = False
        self._is_broker = counts_redis
        for line in lines:
            self._read(line)

    def _read(self, line: Line) -> None:
        readers: dict[str, Callable[[Line], None]] = {
            "got": self._get,
            "over": self._end,
            "closed": self._close,
            "begin": self._begin,
            "kill:worker": self._kill_worker,
            "kill:parent": self._kill_worker,
            "kill:child": self._kill_child,
            "kill:redis": self._kill_redis,
            "back": self._bring_redis_back,
        }
        if reader := readers.get(line.word):
            reader(line)

    def _end(self, line: Line) -> None:
        self._has[line.worker].discard((line.task_id, line.more))
        self._over[line.worker].append((line.at, line.task_id))

    def _close(self, line: Line) -> None:
        has = self._has[line.worker]
        self._has[line.worker] = {one for one in has if one[1] != "message"}

    def _begin(self, line: Line) -> None:
        self._last_of_child[line.pid] = (line.worker, line.task_id)

    def _kill_redis(self, line: Line) -> None:
        self._redis_is_down = True
        for has in self._has.values():
            self.count.update(task_id for task_id, what in has if self._counts(what))

    def _bring_redis_back(self, line: Line) -> None:
        self._redis_is_down = False

    def _get(self, line: Line) -> None:
        self._has[line.worker].add((line.task_id, line.more))
        if line.worker in self._dying or (self._redis_is_down and self._counts(line.more)):
            self.count[line.task_id] += 1

    def _counts(self, what: str) -> bool:
        """Whether what a worker has is in flight where Redis is killed."""
        return self._is_broker or what == "claim"

    def _kill_worker(self, line: Line) -> None:
        self._dying.add(line.worker)
        self.count.update(task_id for task_id, _ in self._has.pop(line.worker, ()))
        if not self._is_broker:
            since = line.at - ACK_SECONDS
            self.count.update(one for at, one in self._over[line.worker] if at >= since)

    def _kill_child(self, line: Line) -> None:
        worker, task_id = self._last_of_child.get(line.pid, ("", ""))
        self.count[task_id] += any(one == task_id for one, _ in self._has[worker])


def _judge_grants(verdict: Verdict, lines: Iterable[Line], per_second: float) -> None:
    grants: dict[str, list[float]] = defaultdict(list)
    pool = _Pool()
    for line in lines:
        pool.read(line)
        if line.word == "begin":
            start_us, user = line.more.split()
            verdict.before_grant += line.at < int(start_us) / 1e6 - ROUNDING
            if pool.runs_again(line):
                verdict.by_pool += 1
            else:
                grants[user].append(int(start_us) / 1e6)
    verdict.beyond = {
        user: _most_beyond(moments, per_second) for user, moments in sorted(grants.items())
    }


class _Pool:
    """Knows what a pool ran a second time by itself, which had been handed to it once."""

    def __init__(self) -> None:
        self._child_of: dict[tuple[str, str], int] = {}  # (worker, id): pid, since it was handed
        self._killed: set[int] = set()

    def read(self, line: Line) -> None:
        if line.word == "handed":
            self._child_of.pop((line.worker, line.task_id), None)
        elif line.word == "kill:child":
            self._killed.add(line.pid)

    def runs_again(self, begin: Line) -> bool:
        """Whether a body begins again because the child in which it had begun was killed."""
        key = (begin.worker, begin.task_id)
        before = self._child_of.get(key)
        self._child_of[key] = begin.pid
        return before is not None and before in self._killed


def _most_beyond(moments: Iterable[float], per_second: float) -> float:
    """The most events in any stretch beyond what the rate allows in it."""
    lowest, most = float("inf"), 0.0
    for number, moment in enumerate(sorted(moments)):
        level = number - per_second * moment
        lowest = min(lowest, level)
        most = max(most, level - lowest + 1)
    return most
