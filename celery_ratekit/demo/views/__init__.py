"""What the demo shows while it runs and when it ends: live in a terminal, or as plain lines."""

from .choice import view_for
from .view import View

__all__ = ["View", "view_for"]
