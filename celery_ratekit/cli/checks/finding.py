"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level", "error", "ok", "warning"]

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found: what is so, and what to change (empty where all is well)."""

    level: Level
    text: str
    advice: str = ""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding("ok", text)


def warning(text: str, advice: str) -> Finding:
    """It works, and may hurt some day."""
    return Finding("warning", text, advice)


def error(text: str, advice: str) -> Finding:
    """It does not work, or loses tasks."""
    return Finding("error", text, advice)
