"""Waiting: throttled messages in Redis, from which workers with a free slot claim what is due."""

from .store import Backlog
from .values import (
    Claim,
    Claimed,
    Draw,
    DueLine,
    DueLines,
    Group,
    Location,
    Parking,
    Return,
    Sizes,
    Waiting,
)

__all__ = [
    "Backlog",
    "Claim",
    "Claimed",
    "Draw",
    "DueLine",
    "DueLines",
    "Group",
    "Location",
    "Parking",
    "Return",
    "Sizes",
    "Waiting",
]
