"""A server's private directory, and the watchdog that clears up when its owner cannot."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path

__all__ = ["Home"]

# A unix socket's path may have 107 characters on Linux and 103 on macOS; leave room for the name.
LONGEST_PARENT = 70

# The watchdog reads which process groups live ("+12", "-12"). Its input ends when the owner closes
# it or dies, by whatever signal; then it kills what is left and removes the directory.
#
# Why not PR_SET_PDEATHSIG: it fires when the *thread* that forked ends, exists on Linux only, is
# cleared by set-uid programs, and would leave the directory.
WATCHDOG = """
alive=
while read -r line; do
    case $line in
        +*) alive="$alive ${line#+}" ;;
        -*) rest=
            for one in $alive; do [ "$one" = "${line#-}" ] || rest="$rest $one"; done
            alive=$rest ;;
    esac
done
for one in $alive; do kill -s KILL -- "-$one" 2>/dev/null; done
for attempt in 1 2 3 4 5; do  # what was killed a moment ago may still have written a file
    rm -rf -- "$1" 2>/dev/null && break
    sleep 0.2
done
"""

_homes: weakref.WeakSet[Home] = weakref.WeakSet()


class Home:
    """A new directory that only this user can enter, gone with the process that made it."""

    def __init__(self) -> None:
        self.owner_pid = os.getpid()
        self.path = Path(tempfile.mkdtemp(prefix="ratekit-", dir=_short_parent()))
        read_end, self._lifeline = os.pipe()
        try:
            self._watchdog = subprocess.Popen(
                ["/bin/sh", "-c", WATCHDOG, "celery-ratekit-watchdog", str(self.path)],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # out of reach of a terminal's Ctrl-C
            )
        except BaseException:
            os.close(self._lifeline)
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        finally:
            os.close(read_end)
        _homes.add(self)

    @property
    def lifeline(self) -> int:
        """The descriptor on which the watchdog is told of process groups."""
        return self._lifeline

    def tell(self, line: str) -> None:
        """Tell the watchdog ``+group`` or ``-group``."""
        # Where somebody killed the watchdog, close() does its work.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._lifeline, f"{line}\n".encode())

    def write(self, name: str, text: str) -> Path:
        """Write a file that only this user can read."""
        path = self.path / name
        path.touch(0o600)
        path.write_text(text, encoding="utf-8")
        return path

    def close(self) -> None:
        """Let the watchdog finish: no process and no file is left afterwards."""
        _homes.discard(self)
        self._let_go()
        self._watchdog.wait()
        shutil.rmtree(self.path, ignore_errors=True)

    def _let_go(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _short_parent() -> str:
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) <= LONGEST_PARENT:
        return usual
    return "/tmp"  # noqa: S108  # mkdtemp makes the directory under it, for this user alone


def _let_go_in_child() -> None:
    # A forked child would otherwise hold the lifeline open, and the server would outlive its owner.
    for home in list(_homes):
        home._let_go()


os.register_at_fork(after_in_child=_let_go_in_child)
