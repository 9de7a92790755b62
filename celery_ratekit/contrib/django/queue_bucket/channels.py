"""One channel for each connection of an app's pool, used by whoever has the connection."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["channel_of", "forget_channel"]


def channel_of(connection: Any) -> Any:
    """The channel of a connection for tokens; opened, both, where they are not."""
    channel = _channels.get(connection)
    if channel is None or not connection.connected:
        connection.connect()
        channel = _channels[connection] = connection.channel()
    return channel


def forget_channel(connection: Any) -> None:
    """Has both be opened anew, after an error: whether they still work is not known."""
    _channels.pop(connection, None)
    connection.collect()


# Not kombu's own default_channel: that one cannot be replaced once an error has closed it. On
# Redis each channel has connections of its own, so it is kept.
_channels: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
