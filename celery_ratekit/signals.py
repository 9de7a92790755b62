"""Signals that tell what limits do; nothing that listens can change a decision.

Receivers get keyword arguments, as with Celery's own signals, and should take ``**kwargs``, since
a later release may tell more. What they raise is logged. The fields below are a contract: each is
there at every call.
"""

from __future__ import annotations

from celery.utils.dispatch import Signal

__all__ = [
    "limiter_degraded",
    "rate_adjusted",
    "rate_limit_admitted",
    "rate_limit_frozen",
    "rate_limit_hit",
    "rate_limit_parked",
    "rate_limit_retried",
]

rate_limit_admitted = Signal(
    name="rate_limit_admitted",
    providing_args={"task_id", "limits", "mode", "wait_seconds", "lateness_seconds"},
)
"""A call that limits concern starts. Sender: its task. ``task_id``; ``limits``: those that were
charged, a tuple; ``mode``: "enforce", "shadow" where ``limits`` only count, or "degraded" where
Redis was away and the policy let it run, with no limit charged; ``wait_seconds``: since it was
first seen by a worker (in the backlog: since it was parked); ``lateness_seconds``: since the moment
from which its limits and the pool would have let it start.

Told by the worker's main process; where no gate runs, by the process that runs the task."""

rate_limit_hit = Signal(
    name="rate_limit_hit", providing_args={"task_id", "limit", "reason", "mode"}
)
"""A call was not granted at once. Sender: its task. ``task_id``; ``limit``: the one in the way;
``reason``: "rate", "frozen", "busy", "paused", "unavailable", "queued" (others wait for that limit
in the backlog), or "" where its start lay a little ahead; ``mode``: "enforce" (the call waits) or
"shadow" (it went on).

Told like the one above; and in the process that runs a body, where that body asked for more (as by
``acquire_token``) than its limits had left, once for each time that it asked."""

rate_limit_parked = Signal(name="rate_limit_parked", providing_args={"task_id", "limit", "reason"})
"""A call was put into the backlog, where it waits for its turn. Sender: its task. ``task_id``;
``limit``: the one in the way; ``reason``: as above."""

rate_limit_retried = Signal(name="rate_limit_retried", providing_args={"task_id", "reason"})
"""A call was sent again because of a limit, or of a retry whose reason says "rate limit". Sender:
its task. ``task_id``; ``reason``: celery's Retry. Told by the worker's main process, once for each
message."""

rate_limit_frozen = Signal(name="rate_limit_frozen", providing_args={"limit", "seconds", "reason"})
"""A limit was frozen. Sender: the task whose body asked for it, or None where a person did.
``limit``; ``seconds``: for how long from now; ``reason``: "rate_limited" (a service said so) or
"manager"."""

rate_adjusted = Signal(
    name="rate_adjusted", providing_args={"name", "key", "old", "new", "by", "reason"}
)
"""A rate was changed at run time, told in the process that changed it. Sender: the app. ``name``,
``key`` of the limit (key: empty for all of them); ``old`` and ``new``: rates as texts such as
"100/m", "paused", "unlimited"; ``by`` and ``reason``: who and why, as far as they said."""

limiter_degraded = Signal(name="limiter_degraded", providing_args={"degraded", "policy", "error"})
"""Redis stopped answering, or answers again; told once per change in each process. Sender: the app.
``degraded``: True or False; ``policy``: what decides meanwhile, "wait", "allow" or "share";
``error``: what was met, None where it answers again."""


def says_rate_limit(reason: object) -> bool:
    """Whether the reason of a retry is a limit: it contains "rate limit", in whatever case."""
    return "rate limit" in str(reason).lower()
