"""Tells whoever listens which calls start that limits concern."""

from __future__ import annotations

from typing import Any

from ...limits import Limit
from ...rules import DEGRADED, ENFORCE, SHADOW
from ...signals import rate_limit_admitted
from ..gate.held import Held

__all__ = ["tell_counted", "tell_start"]


def tell_start(held: Held, now: float) -> None:
    """A call starts at a moment, as its limits granted.

    To be called only where somebody listens. A start may have been granted before the call came:
    it is late from its own arrival on.
    """
    decision = held.decision
    assert decision is not None  # Only what was granted starts.
    rate_limit_admitted.send(
        sender=held.request.task,
        task_id=held.request.id,
        limits=() if decision.degraded else decision.limits,
        mode=DEGRADED if decision.degraded else ENFORCE,
        wait_seconds=held.waited_before + max(0.0, now - held.since),
        lateness_seconds=max(0.0, now - max(held.due, held.since)),
    )


def tell_counted(request: Any, limits: tuple[Limit, ...]) -> None:
    """A call goes on whose limits only count."""
    rate_limit_admitted.send(
        sender=request.task,
        task_id=request.id,
        limits=limits,
        mode=SHADOW,
        wait_seconds=0.0,
        lateness_seconds=0.0,
    )
