"""Why a task has not started yet, and when it will."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .backlog import Location
from .errors import LimiterUnavailableError
from .limiter.foresight import seconds_behind
from .limits import Limit
from .tasks.runtime import Runtime, runtime_of

__all__ = ["TaskExplanation", "explain_task"]

State = Literal["waiting", "claimed", "held", "reserved", "running"]

COMMAND = "ratekit_task"
"""What workers are asked; see `celery_ratekit.worker.remote.control`."""

REPLY_SECONDS = 1.0

WORDS: Mapping[State, str] = {
    "waiting": "waits in the backlog",
    "claimed": "was taken out of the backlog by a worker, and starts any moment or runs",
    "held": "is held by a worker until its limits let it start",
    "reserved": "waits for a free slot of its worker's pool",
    "running": "is running",
}


@dataclass(frozen=True, slots=True)
class TaskExplanation:
    """Where a task is, and what it waits for; as text, a sentence or two.

    ``state``: "waiting" (in the backlog), "claimed" (from there, by a worker), "held" (in a
    worker), "reserved" (waits for a slot) or "running". ``queue`` and ``worker`` where they are
    known. ``limit_name``: the limit that it waits for, ``reason`` why that said no ("rate",
    "frozen", "busy", "paused", "queued" or "unavailable"; empty where it is not known).
    ``before``: how many calls come first there. ``waited_seconds``: since a worker first saw it.
    ``starts_in_seconds``: the estimated time until its start, for a held task as far as its own
    worker can tell; None where nobody can, as behind a pause.
    """

    task_id: str
    task: str
    state: State
    queue: str = ""
    worker: str = ""
    limit_name: str = ""
    reason: str = ""
    before: int = 0
    waited_seconds: float | None = None
    starts_in_seconds: float | None = None

    def __str__(self) -> str:
        return " ".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        where = f" of the queue {self.queue!r}" if self.queue else ""
        who = f" ({self.worker})" if self.worker else ""
        yield f"{self.task}[{self.task_id}] {WORDS[self.state]}{where}{who}."
        if self.state in ("waiting", "held"):
            why = f" ({self.reason})" if self.reason else ""
            yield f"It waits for the limit {self.limit_name!r}{why}, {self.before} come before it."
            seconds = self.starts_in_seconds
            yield (
                "When it starts cannot be foreseen."
                if seconds is None
                else f"It is estimated to start in {seconds:.1f} s."
            )


def explain_task(
    app: Any, task_id: str, *, reply_seconds: float = REPLY_SECONDS
) -> TaskExplanation | None:
    """Where a task is and what it waits for; None where neither backlog nor worker has it.

    Then it is over, still in its broker, or was never sent; workers without the gate say nothing.

    Workers are asked, where the backlog does not have it, and have ``reply_seconds`` to answer.
    Raises LimiterUnavailableError where Redis gives no answer.
    """
    runtime = runtime_of(app)
    found = _in_backlog(app, runtime, task_id)
    if found is not None and found.state == "waiting":
        return found
    return _in_workers(app, task_id, reply_seconds) or found


def _in_backlog(app: Any, runtime: Runtime, task_id: str) -> TaskExplanation | None:
    if runtime.settings.redis_url is None:
        return None
    backlog = runtime.backlog
    for queue in backlog.queues():
        location = backlog.locate(task_id, queue)
        if location is not None:
            return _explained(app, runtime, task_id, location)
    return None


def _explained(app: Any, runtime: Runtime, task_id: str, location: Location) -> TaskExplanation:
    if location.state == "claimed":
        return TaskExplanation(
            task_id,
            location.task,
            "claimed",
            location.queue,
            waited_seconds=location.age_seconds,
        )
    limit = _limit(app, runtime, location)
    before = min(location.before_in_line, _waiting(runtime, location) - 1)
    starts_in, reason = _estimate(runtime, limit, location.due_seconds, before)
    return TaskExplanation(
        task_id,
        location.task,
        "waiting",
        location.queue,
        limit_name=location.limit_name,
        reason=reason,
        before=before,
        waited_seconds=location.age_seconds,
        starts_in_seconds=starts_in,
    )


def _waiting(runtime: Runtime, location: Location) -> int:
    """How many wait for the limit in its queue."""
    sizes = runtime.backlog.sizes(location.queue, most_groups=0)
    return max(1, sizes.by_limit.get(location.limit_name, 1))


def _limit(app: Any, runtime: Runtime, location: Location) -> Limit | None:
    """The limit that it waits for, as the task declares it; None where this app does not."""
    task = app.tasks.get(location.task)
    declared = [] if task is None else runtime.book.plan(task).declared()
    limits = [*declared, *runtime.settings.named_limits.values()]
    return next((limit for limit in limits if limit.name == location.limit_name), None)


def _estimate(
    runtime: Runtime, limit: Limit | None, due_seconds: float, before: int
) -> tuple[float | None, str]:
    """In how many seconds it starts, and what is known of why it does not now."""
    if limit is None:
        return None, ""
    view = runtime.limiter.override_book.view()
    of_all = limit.with_key("").with_cost(1 if callable(limit.cost) else limit.cost)
    if view.is_paused(of_all) or of_all.is_paused:
        return None, "paused"
    effective = view.effective(of_all)
    if effective is None:
        return 0.0, ""
    frozen_seconds = _frozen_seconds(runtime, of_all)
    seconds = max(due_seconds, frozen_seconds) + seconds_behind(effective, before)
    return None if math.isinf(seconds) else seconds, "frozen" if frozen_seconds else ""


def _frozen_seconds(runtime: Runtime, limit: Limit) -> float:
    try:
        return max((state.frozen_seconds for state in runtime.limiter.inspect(limit)), default=0.0)
    except LimiterUnavailableError:
        return 0.0  # It was there a moment ago: what is known is worth telling.


def _in_workers(app: Any, task_id: str, reply_seconds: float) -> TaskExplanation | None:
    inspector = app.control.inspect(timeout=reply_seconds)
    replies = inspector._request(COMMAND, task_id=task_id) or {}
    for worker, reply in sorted(replies.items()):
        if isinstance(reply, Mapping) and reply.get("state") in WORDS:
            return _of_worker(task_id, worker, reply)
    return None


def _of_worker(task_id: str, worker: str, reply: Mapping[str, Any]) -> TaskExplanation:
    return TaskExplanation(
        task_id,
        str(reply.get("task", "")),
        reply["state"],
        worker=worker,
        limit_name=str(reply.get("limit", "")),
        reason=str(reply.get("reason", "")),
        before=int(reply.get("before", 0)),
        waited_seconds=reply.get("held_for"),
        starts_in_seconds=reply.get("starts_in"),
    )
