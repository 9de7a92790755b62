"""One running server program."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import EmbeddedServerError
from .descendants import Descendant, descendants
from .home import Home
from .waiting import NotYetError, wait_for

__all__ = ["ServerProcess", "tail"]

TAIL_LINES = 20
GRACE_SECS = 10.0  # how long a server may take to end after SIGTERM
CHILDREN_SECS = 2.0  # how long a killed server's children may take to notice and end

# The shell leads a process group of its own, names it to the watchdog and becomes the server, so
# that at no instant a server runs which the watchdog does not know.
LAUNCHER = 'umask 077; echo "+$$" >&0; exec "$@" </dev/null'


class ServerProcess:
    """A server program with its output in a log file, known to the watchdog of its home."""

    def __init__(
        self, home: Home, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._home = home
        self._log = log
        log.touch(0o600)
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                ["/bin/sh", "-c", LAUNCHER, "celery-ratekit-launcher", *command],
                stdin=home.lifeline,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home.path,
                env=env,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._reaped = False

    @property
    def alive(self) -> bool:
        """Whether the server runs (or is paused)."""
        if os.getpid() != self._home.owner_pid:
            return _exists(self.pid)
        if self._popen.poll() is None:
            return True
        self._forget()
        return False

    def check_alive(self, name: str) -> None:
        """Raise `EmbeddedServerError` with the end of the log if the server has ended."""
        if not self.alive:
            raise EmbeddedServerError(
                f"{name} ended with status {self._popen.returncode}; the end of its log:\n"
                f"{tail(self._log)}"
            )

    def pause(self) -> None:
        """Stop the process from running (SIGSTOP); on return it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        if os.getpid() == self._home.owner_pid and hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """End the server in order (SIGTERM), by force if it takes too long."""
        if self.alive:
            self.resume()
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(GRACE_SECS)
        self.kill()

    def kill(self) -> None:
        """End the server and its children at once (SIGKILL); on return they are gone."""
        if not self._reaped:
            strays = descendants(self.pid)  # Erlang's helpers leave the process group
            self._signal_group(signal.SIGKILL)
            self._popen.wait()
            self._forget()
            self._wait_until_ended(strays)

    def _forget(self) -> None:
        if not self._reaped:
            self._reaped = True
            self._signal_group(signal.SIGKILL)  # children of a server that ended by itself
            self._home.tell(f"-{self.pid}")

    def _wait_until_ended(self, strays: frozenset[Descendant]) -> None:
        def check() -> None:
            left = [stray for stray in strays if stray.runs]
            if left:
                raise NotYetError(f"{left} still run")

        try:
            wait_for("end of a server's children", check, timeout=CHILDREN_SECS)
        except EmbeddedServerError:
            for stray in strays:
                stray.kill()

    def _signal_group(self, number: int) -> bool:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS: no permission for a zombie's group
            return False
        return True


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last ``lines`` of a log file; empty if there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
