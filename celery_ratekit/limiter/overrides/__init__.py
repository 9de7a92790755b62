"""Overrides: rates, pauses and switches that are set at run time, kept in Redis by limit name."""

from .book import OverrideBook
from .places import ADAPTIVE, DISABLE, PAUSE, RATE, TEMPORARY, ZERO, Place
from .records import Change, End, PutBack, Record, Set
from .store import OverrideStore
from .view import Snapshot, View

__all__ = [
    "ADAPTIVE",
    "DISABLE",
    "PAUSE",
    "RATE",
    "TEMPORARY",
    "ZERO",
    "Change",
    "End",
    "OverrideBook",
    "OverrideStore",
    "Place",
    "PutBack",
    "Record",
    "Set",
    "Snapshot",
    "View",
]
