"""Our program, as people start it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.workers import Setup

__all__ = ["Program"]

BIN = Path(sys.executable).parent
END_SECONDS = 60


class Program:
    """``celery-ratekit``, with the app of a setup."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, whatever that is."""
        environment = {**self._setup.environment(), "CELERY_APP": self._setup.module}
        return subprocess.run(
            [str(BIN / "celery-ratekit"), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=END_SECONDS,
            check=False,
        )

    def shown(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints that has to succeed."""
        ended = self.run(*arguments, stdin=stdin)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def json(self, *arguments: str) -> Any:
        """The same, read as JSON."""
        return json.loads(self.shown(*arguments, "--json"))

    def rates(self) -> dict[str, str]:
        """What `limits list` says of each limit."""
        return {one["name"]: one["rate"] for one in self.json("limits", "list")}
