"""The limiter core once more, in plain Python: what the Lua scripts are held against.

Times are whole or fractional microseconds (exact, as Fractions where they need it) on the clock
that the limiter is given; every state is a set of named attributes.
"""

from __future__ import annotations

from .limiter import Answer, ModelLimiter

__all__ = ["Answer", "ModelLimiter"]
