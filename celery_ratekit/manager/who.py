"""Who changes something: as far as a process knows."""

from __future__ import annotations

import getpass
import os
import socket

__all__ = ["this_process"]


def this_process() -> str:
    """``user@host:pid`` of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # A container may run as a user without a name.
        user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return f"{user}@{socket.gethostname()}:{os.getpid()}"
