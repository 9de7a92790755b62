"""What is asked of many calls at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .prepared import Limits

__all__ = ["Ask"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of `Limiter.reserve_many`, in the words of `Limiter.reserve`.

    ``count``: so many starts at the most, default 1. ``horizon``: how far ahead they may lie,
    seconds, default 0 (now). ``apart``: how far the limits of a call may lie apart in when each
    alone would let it start, seconds, default infinite. ``yields``: grant nothing while others wait
    in the backlog for one of the limits (see `Limiter.mark`).
    """

    limits: Limits
    count: int = 1
    horizon: float = 0.0
    apart: float = math.inf
    yields: bool = False
