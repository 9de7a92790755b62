"""Lines as people type them into a shell, run by our program under either of its names."""

from __future__ import annotations

import queue
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

__all__ = ["Running", "command_of", "run", "start"]

END_SECONDS = 60.0
LOG_CHARACTERS = 6_000
NAMES = ("celery-ratekit", "celery-throttle")


def command_of(line: str) -> list[str]:
    """What a shell would start, whether the program is installed under that name or not."""
    name, *arguments = shlex.split(line, comments=True)
    assert name in NAMES, line
    source = f"import sys; sys.argv[0] = {name!r}; from celery_ratekit.cli import main; main()"
    return [sys.executable, "-c", source, *arguments]


def run(line: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a line to its end."""
    return subprocess.run(
        command_of(line),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )


class Running:
    """A line that goes on until somebody ends it.

    A thread reads all that it prints: else it would stand still once the pipe is full.
    """

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self._popen = popen
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._printed = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._printed += line
            self._lines.put(line)
        self._lines.put(None)

    def read_until(self, text: str) -> str:
        """What it prints, up to the line that has a text."""
        read = ""
        while (line := self._lines.get(timeout=END_SECONDS)) is not None:
            read += line
            if text in line:
                return read
        raise AssertionError(f"it ended before it printed {text!r}: {read}")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ends it, as Ctrl-C does; its exit code."""
        self._popen.send_signal(number)
        self._popen.wait(END_SECONDS)
        return self._popen.returncode

    def kill(self) -> None:
        """Ends it for sure, and shows pytest the end of what it printed."""
        self._popen.kill()
        self._popen.wait()
        self._thread.join(END_SECONDS)
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        print(self._printed[-LOG_CHARACTERS:])


def start(line: str, environment: Mapping[str, str]) -> Running:
    """Starts a line; what it prints and its log are one."""
    return Running(
        subprocess.Popen(
            command_of(line),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
