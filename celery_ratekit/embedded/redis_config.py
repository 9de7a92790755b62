"""Writing redis.conf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import BadOptionError

__all__ = ["ConfigValue", "check_directives", "quoted", "rendered"]

#: yes or no, a number, the rest of the line as Redis reads it, or one of these per line
ConfigValue = bool | int | str | Sequence[str]

# What the server's privacy and its clearing up rest on.
OURS = frozenset(
    {
        "bind",
        "daemonize",
        "dir",
        "include",
        "logfile",
        "pidfile",
        "port",
        "protected-mode",
        "requirepass",
        "tls-port",
        "unixsocket",
        "unixsocketperm",
    }
)


def check_directives(config: Mapping[str, ConfigValue]) -> None:
    """Raise `BadOptionError` for a directive that is ours to set, or cannot be one."""
    for name, value in config.items():
        if name.lower() in OURS:
            raise BadOptionError(f"the Redis directive {name!r} is set by the embedded server")
        if not name or any(character.isspace() for character in name):
            raise BadOptionError(f"{name!r} is not a Redis directive")
        for line in _lines(value):
            if "\n" in line or "\r" in line:
                raise BadOptionError(f"the value of {name!r} must be one line, not {line!r}")


def rendered(config: Mapping[str, ConfigValue]) -> str:
    """The text of a redis.conf with these directives."""
    return "".join(f"{name} {line}\n" for name, value in config.items() for line in _lines(value))


def quoted(text: str) -> str:
    """One argument as redis.conf quotes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lines(value: ConfigValue) -> list[str]:
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, (int, str)):
        return [str(value) or '""']
    return [line or '""' for line in value]
