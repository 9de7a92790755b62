"""What ``celery inspect`` shows of the gate."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from celery.worker import state as worker_state
from celery.worker.control import Panel, inspect_command

from ..gate.gate import Gate
from ..gate.held import Held, Line
from ..observing.events import seconds_to_start
from .rate_command import rate_command

__all__ = ["extend_celerys_commands", "ratekit", "ratekit_task"]

MOST_SHOWN = 1_000  # A reply is one message, and a green pool may hold many thousands.


@inspect_command()
def ratekit(state: Any, **_: Any) -> dict[str, Any]:
    """Tasks that wait for their limits, what these limits are, and the slots of the pool."""
    gate: Gate | None = getattr(state.consumer, "ratekit_gate", None)
    if gate is None:
        return {"gate": "off"}
    now = time.monotonic()
    held = list(gate.room)
    return {
        "gate": "on",
        "slots": {"size": gate.slot_count, "idle": max(0, gate.idle_slots)},
        "held_count": len(held),
        "held_by_limit": _held_by_limit(gate.room.lines),
        "started": gate.started.shown(),
        "clock": now,
        "held": [_shown(one, now) for one in held[:MOST_SHOWN]],
        "lines": [_shown_line(line, now) for line in gate.room.lines[:MOST_SHOWN]],
        "backlog": gate.backlog,
    }


@inspect_command(args=[("task_id", str)], signature="<task_id>")
def ratekit_task(state: Any, task_id: Any, **_: Any) -> dict[str, Any]:
    """Whether a task is held, waits for a slot, or runs here, and what it waits for."""
    gate: Gate | None = getattr(state.consumer, "ratekit_gate", None)
    held = None if gate is None else next((o for o in gate.room if o.request.id == task_id), None)
    if held is not None:
        return _explained(held, time.monotonic())
    for name, requests in (
        ("running", worker_state.active_requests),
        ("reserved", worker_state.reserved_requests),
    ):
        for request in list(requests):
            if request.id == task_id:
                return {"state": name, "task": request.name}
    return {}


def _explained(held: Held, now: float) -> dict[str, Any]:
    """One held task as `celery_ratekit.explain` reads it; times in seconds."""
    limit = held.line.blocked_by or held.line.limits[0]
    starts_in = seconds_to_start(held, limit, now)
    return {
        "state": "held",
        "task": held.request.name,
        "limit": limit.shown_name,
        "reason": held.line.reason,
        "before": held.line.before(held),
        "held_for": round(held.waited_before + now - held.since, 3),
        "starts_in": None if math.isinf(starts_in) else round(starts_in, 3),
    }


def _shown(held: Held, now: float) -> dict[str, Any]:
    """One held task; times in seconds."""
    return {
        "id": held.request.id,
        "name": held.request.name,
        "limits": [limit.shown_name for limit in held.line.limits],
        "waits_for": held.line.reason,
        "held_for": round(now - held.since, 3),
        "starts_in": None if held.decision is None else round(max(0.0, held.due - now), 3),
    }


def _held_by_limit(lines: Iterable[Line]) -> dict[str, int]:
    """How many tasks wait, by the name of the limit in their way."""
    counts: dict[str, int] = {}
    for line in lines:
        name = (line.blocked_by or line.limits[0]).name
        counts[name] = counts.get(name, 0) + len(line.waiting)
    return counts


def _shown_line(line: Line, now: float) -> dict[str, Any]:
    """Tasks of equal limits, without what these count by: keys may be anybody's data."""
    blocked_by = line.blocked_by
    asleep = line.state == "asleep"
    return {
        "limits": [f"{type(limit).__name__} {limit.shown_name}" for limit in line.limits],
        "waiting": len(line.waiting),
        "blocked_by": None if blocked_by is None else blocked_by.shown_name,
        "reason": line.reason,
        "asked_again_in": round(max(0.0, line.ask_at - now), 3) if asleep else 0.0,
    }


def extend_celerys_commands() -> None:
    """Extends what Celery's own commands reach.

    ``inspect reserved`` lists held tasks too, ``revoke`` reaches those in the backlog, and
    ``rate_limit`` sets the rate of our limits for all workers.
    """
    for name, command in (
        ("reserved", _reserved_and_held),
        ("revoke", _revoke_everywhere),
        ("rate_limit", set_rate_limit),
    ):
        if Panel.data[name] is not command:
            _celerys[name] = Panel.data[name]
            Panel.data[name] = command
    Panel.data["dump_reserved"] = _reserved_and_held


def _reserved_and_held(state: Any, **kwargs: Any) -> list[dict[str, Any]]:
    """List of currently reserved tasks, not including scheduled/active."""
    shown: list[dict[str, Any]] = _celerys["reserved"](state, **kwargs)
    gate: Gate | None = getattr(state.consumer, "ratekit_gate", None)
    if gate is None:
        return shown
    return [*shown, *(held.request.info() for held in gate.room)]


def _revoke_everywhere(state: Any, task_id: Any, **kwargs: Any) -> Any:
    """Revoke task by task id (or list of ids)."""
    answer = _celerys["revoke"](state, task_id, **kwargs)
    gate: Gate | None = getattr(state.consumer, "ratekit_gate", None)
    if gate is not None:
        task_ids = task_id if isinstance(task_id, (list, tuple, set)) else [task_id]
        gate.revoke([one for one in task_ids if isinstance(one, str)])
    return answer


def set_rate_limit(state: Any, task_name: Any, rate_limit: Any, **kwargs: Any) -> Any:
    """Tell worker(s) to modify the rate limit for a task by type."""
    return rate_command(state, _celerys["rate_limit"], task_name, rate_limit, **kwargs)


_celerys: dict[str, Any] = {}
