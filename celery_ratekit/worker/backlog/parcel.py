"""A task message as the backlog keeps it: the bytes that came, with what is needed to deliver them.

The body is never decoded here. Headers and properties are JSON as kombu writes it, which knows
dates, decimals and bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from kombu.message import Message
from kombu.utils.json import dumps, loads

from ...tasks.grant import GRANT_HEADER

__all__ = ["Parcel", "identity_of", "pack", "rebuild", "unpack"]

VERSION = 1
HEAD = struct.Struct("<BBI")  # version, whether the body is a text, length of the JSON

OF_TRANSPORT = frozenset(
    {
        "application_headers",
        "body_encoding",
        "content_encoding",
        "content_type",
        "delivery_info",
        "delivery_tag",
    }
)
"""Properties that say how the broker delivered the message, or again what stands beside them."""

NOT_KEPT_HEADERS = frozenset({GRANT_HEADER, "compression"})
"""Kombu has unpacked the body by now; a grant is never taken from a message."""


class Parcel(NamedTuple):
    """What was packed of a message."""

    body: bytes | str
    content_type: str | None
    content_encoding: str | None
    headers: dict[str, Any]
    properties: dict[str, Any]
    exchange: str
    routing_key: str


def pack(message: Any) -> bytes:
    """The bytes of a received message.

    Raises TypeError or ValueError where its headers hold what cannot be written.
    """
    info = message.delivery_info or {}
    head = {
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "headers": _without(message.headers, NOT_KEPT_HEADERS),
        "properties": _without(message.properties, OF_TRANSPORT),
        "exchange": info.get("exchange") or "",
        "routing_key": info.get("routing_key") or "",
    }
    body = message.body
    is_text = isinstance(body, str)
    raw = body.encode("utf-8", "surrogatepass") if is_text else bytes(body or b"")
    text = dumps(head).encode()
    return b"".join((HEAD.pack(VERSION, is_text, len(text)), text, raw))


def unpack(packed: bytes) -> Parcel:
    """What `pack` packed; raises ValueError for anything else."""
    if len(packed) < HEAD.size or packed[0] != VERSION:
        raise ValueError(f"expected a packed message of version {VERSION}, got {packed[:20]!r}")
    _, is_text, size = HEAD.unpack_from(packed)
    head = loads(packed[HEAD.size : HEAD.size + size].decode())
    raw = packed[HEAD.size + size :]
    return Parcel(raw.decode("utf-8", "surrogatepass") if is_text else raw, **head)


def rebuild(
    packed: bytes, *, channel: Any, delivery_tag: str, accept: Any, redelivered: bool
) -> Message:
    """The message again, to be acknowledged on ``channel``; its ETA, if any, has passed."""
    parcel = unpack(packed)
    parcel.headers.pop("eta", None)
    return Message(
        body=parcel.body,
        delivery_tag=delivery_tag,
        content_type=parcel.content_type,
        content_encoding=parcel.content_encoding,
        delivery_info={
            "exchange": parcel.exchange,
            "routing_key": parcel.routing_key,
            "redelivered": redelivered,
        },
        properties=parcel.properties,
        headers=parcel.headers,
        accept=accept,
        channel=channel,
    )


def identity_of(message: Any, packed: bytes) -> tuple[bytes, bool]:
    """Eight bytes that stay the same when a broker delivers the message again, and whether it may.

    Most of kombu's own transports give each message a tag of its own for as long as it lives, and
    not all of them say when they deliver again. Over AMQP nothing but the message itself stays, so
    there two equal messages are told apart only by whether the broker says that it delivers again.
    """
    tag = (message.properties or {}).get("delivery_tag")
    if isinstance(tag, str):
        return _digest(tag.encode("utf-8", "surrogatepass")), True
    return _digest(packed), bool((message.delivery_info or {}).get("redelivered"))


def _without(values: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if name not in names}


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()
