"""The processes below a process, where /proc tells them (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Descendant", "descendants"]


@dataclass(frozen=True)
class Descendant:
    """A process, told apart from a later one with the same id by when it started."""

    pid: int
    started: str

    @property
    def runs(self) -> bool:
        """Whether this very process has not ended; one that waits to be reaped has."""
        fields = _stat(self.pid)
        return bool(fields) and fields[STARTED] == self.started and fields[STATE] != "Z"

    def kill(self) -> None:
        """End it (SIGKILL) if it runs."""
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


# Positions in /proc/<pid>/stat after the program's name.
STATE, PARENT, STARTED = 0, 1, 19


def descendants(pid: int) -> frozenset[Descendant]:
    """The children of a process and theirs; none where there is no /proc."""
    children: dict[int, list[Descendant]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields:
            one = Descendant(int(entry.name), fields[STARTED])
            children.setdefault(int(fields[PARENT]), []).append(one)
    found: list[Descendant] = list(children.get(pid, []))
    for one in found:  # grows while it is walked
        found += children.get(one.pid, [])
    return frozenset(found)


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name may hold spaces and brackets
