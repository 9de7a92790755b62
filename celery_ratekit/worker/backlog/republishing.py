"""Messages that were put together once are published as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .parcel import Parcel

__all__ = ["as_published", "publish"]


def publish(producer: Any, queue: str, parcel: Parcel, **options: Any) -> None:
    """Sends a message straight to a queue, whatever exchange it took before."""
    producer.publish(
        parcel.body,
        exchange="",
        routing_key=queue,
        content_type=parcel.content_type,
        content_encoding=parcel.content_encoding,
        headers=parcel.headers,
        retry=True,
        **options,
        **as_published(parcel.properties),
    )


def as_published(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a message as kombu takes them, which wants an expiration in seconds."""
    taken = dict(properties)
    if taken.get("expiration") is not None:
        taken["expiration"] = float(taken["expiration"]) / 1_000
    return taken
