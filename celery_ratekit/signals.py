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
]

rate_limit_admitted = Signal(
    name="rate_limit_admitted",
    providing_args={"task_id", "limits", "wait_seconds", "lateness_seconds"},
)
"""A call was let through by its limits and starts. Sender: its task. ``task_id``; ``limits``: those
that were charged, a tuple, empty where Redis was away and the policy let it run; ``wait_seconds``:
since it was first seen by a worker (in the backlog: since it was parked); ``lateness_seconds``:
since the moment from which its limits and the pool would have let it start."""

rate_limit_hit = Signal(
    name="rate_limit_hit", providing_args={"task_id", "limit", "reason", "mode"}
)
"""A call was not granted at once. Sender: its task. ``task_id``; ``limit``: the one in the way;
``reason``: "rate", "frozen", "busy", "paused", "unavailable", "queued" (others wait for that limit
in the backlog), or "" where its start lay a little ahead; ``mode``: "enforce" (the call waits) or
"shadow" (it went on)."""

rate_limit_parked = Signal(name="rate_limit_parked", providing_args={"task_id", "limit", "reason"})
"""A call was put into the backlog, where it waits for its turn. Sender: its task. ``task_id``;
``limit``: the one in the way; ``reason``: as above."""

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
