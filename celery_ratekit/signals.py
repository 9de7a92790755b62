"""Signals that tell what limits do; nothing that listens can change a decision.

Receivers get keyword arguments, as with Celery's own signals; what they raise is logged.
"""

from __future__ import annotations

from celery.utils.dispatch import Signal

__all__ = ["rate_limit_hit", "rate_limit_parked"]

rate_limit_hit = Signal(name="rate_limit_hit", providing_args={"limit", "reason", "mode"})
"""A call was not granted at once. Sender: its task. ``limit``: the one in the way; ``reason``:
"rate", "frozen", "busy", "paused", "unavailable", "queued" (others wait for that limit in the
backlog), or "" where its start lay a little ahead; ``mode``: "enforce" (the call waits) or
"shadow" (it went on)."""

rate_limit_parked = Signal(name="rate_limit_parked", providing_args={"limit", "reason"})
"""A call was put into the backlog, where it waits for its turn. Sender: its task. ``limit``: the
one in the way; ``reason``: as above."""
