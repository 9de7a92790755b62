"""Looking at other processes through Linux' /proc, and running Python programs."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from pathlib import Path

import celery_ratekit
from celery_ratekit.embedded.waiting import NotYetError, wait_for

ROOT = Path(celery_ratekit.__file__).parents[1]
"""Where the package lies that is tested: it may be an installed one."""

PROJECT = Path(__file__).parents[2]
"""Where the project's own files lie."""

LISTENING = "0A"  # the state of a socket in /proc/net/tcp


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended (one that waits to be reaped has)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(*things: int | Path, timeout: float = 20) -> None:
    """Wait until none of these processes runs and none of these paths exists."""

    def check() -> None:
        left = [one for one in things if (one.exists() if isinstance(one, Path) else runs(one))]
        if left:
            raise NotYetError(f"still there: {left}")

    wait_for("end of processes and files", check, timeout=timeout)


def command_and_environment(pid: int) -> str:
    """What others may read about how a process was started."""
    return "".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ"))


def listening(pid: int) -> set[tuple[str, int]]:
    """Address and port of every TCP socket on which a process listens."""
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    inodes = {str(one.readlink())[len("socket:[") : -1] for one in descriptors}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                found.add(_address(fields[1]))
    return found


def _address(text: str) -> tuple[str, int]:
    address, port = text.split(":")
    words = [bytes.fromhex(address[at : at + 8]) for at in range(0, len(address), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(packed)), int(port, 16)


def run_python(source: str) -> subprocess.Popen[str]:
    """A Python program with this package on its path; its output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
