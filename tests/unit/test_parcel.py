"""A message as the backlog keeps it: what went in comes out, whatever strangers put into it."""

from __future__ import annotations

from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from kombu.message import Message

from celery_ratekit.tasks.grant import GRANT_HEADER
from celery_ratekit.worker.backlog.parcel import identity_of, pack, rebuild, unpack

BODIES = [
    b"",
    b"\x00\xff\x80pickle",
    "",
    "[[], {}, {}]",
    "grün ☃ 🎉",
    "half \ud800 of a pair",
    b"x" * 300_000,
]


def message(body: Any = b"[]", **options: Any) -> Message:
    return Message(body=body, **{"content_type": "application/json", **options})


def again(packed: bytes, **options: Any) -> Message:
    defaults = {"channel": None, "delivery_tag": "1", "accept": None, "redelivered": False}
    return rebuild(packed, **{**defaults, **options})


@pytest.mark.parametrize("body", BODIES)
def test_a_body_comes_back_as_it_was(body: bytes | str) -> None:
    back = unpack(pack(message(body)))

    assert back.body == body
    assert type(back.body) is type(body)


def test_other_kinds_of_bytes_come_back_as_bytes() -> None:
    assert unpack(pack(message(memoryview(b"abc")))).body == b"abc"
    assert unpack(pack(message(bytearray(b"abc")))).body == b"abc"
    assert unpack(pack(message(None))).body == b""


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1.5,
        "half \ud800 of a pair",
        b"\x00\xff",
        b"text",
        datetime(2027, 1, 2, 3, 4, 5, 678),  # noqa: DTZ001 - some messages have such dates
        datetime(2027, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        date(2027, 1, 2),
        Decimal("1.10"),
        UUID(int=7),
        ["a", {"b": [None]}],
    ],
    ids=repr,
)
def test_a_header_comes_back_as_it_was(value: Any) -> None:
    back = unpack(pack(message(headers={"id": "x", "value": value}))).headers["value"]

    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), time])
def test_what_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        pack(message(headers={"value": value}))


def test_all_that_delivers_it_comes_back() -> None:
    properties = {"priority": 7, "correlation_id": "a", "reply_to": "b", "delivery_mode": 2}
    sent = message(
        content_type="application/x-yaml",
        content_encoding="utf-8",
        properties=properties,
        delivery_info={"exchange": "e", "routing_key": "k", "redelivered": True, "other": object()},
        headers={"task": "t"},
    )

    parcel = unpack(pack(sent))

    assert parcel.content_type == "application/x-yaml"
    assert parcel.content_encoding == "utf-8"
    assert parcel.properties == properties
    assert (parcel.exchange, parcel.routing_key) == ("e", "k")


def test_what_belongs_to_one_delivery_is_left_out() -> None:
    sent = message(
        properties={
            "delivery_tag": "t",
            "delivery_info": {"exchange": ""},
            "body_encoding": "base64",
            "priority": 1,
        },
        headers={GRANT_HEADER: [1, 2], "compression": "gzip", "kept": 1},
    )

    parcel = unpack(pack(sent))

    assert parcel.properties == {"priority": 1}
    assert parcel.headers == {"kept": 1}


@pytest.mark.parametrize("packed", [b"", b"\x01", b"\x02\x00\x00\x00\x00\x00{}", b"\x00" * 9])
def test_what_is_of_another_version_or_none_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="version 1"):
        unpack(packed)


def test_a_rebuilt_message_is_ready_to_be_delivered() -> None:
    class Channel:
        no_ack_consumers = None

        def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
            acked.append(delivery_tag)

    acked: list[str] = []

    packed = pack(message(b"[1]", headers={"eta": "2027-01-01", "id": "x"}))

    accept = {"application/json"}
    back = again(packed, channel=Channel(), delivery_tag="7", accept=accept, redelivered=True)
    back.ack()

    assert back.headers == {"id": "x"}  # The time has come.
    assert back.delivery_info["redelivered"] is True
    assert back.accept == accept
    assert back.payload == [1]
    assert acked == ["7"]


def test_what_was_packed_twice_is_the_same() -> None:
    sent = message(b"[1]", headers={"id": "x"}, properties={"priority": 3})

    assert pack(again(pack(sent))) == pack(sent)


# -- identity -------------------------------------------------------------------------------------


def test_kombus_tag_tells_messages_apart_and_says_when_they_are_the_same() -> None:
    one, same, other = (
        message(properties={"delivery_tag": tag}) for tag in ("first", "first", "second")
    )

    assert identity_of(one, pack(one)) == identity_of(same, pack(same))
    assert identity_of(one, pack(one))[0] != identity_of(other, pack(other))[0]
    assert identity_of(one, pack(one))[1]  # Not all transports say when they deliver again.


@pytest.mark.parametrize("redelivered", [False, True])
def test_over_amqp_the_message_itself_and_the_brokers_word_count(redelivered: bool) -> None:
    one = message(delivery_tag=1, delivery_info={"redelivered": redelivered})
    same = message(delivery_tag=2, delivery_info={"redelivered": redelivered})
    other = message(b"[1]", delivery_tag=1)

    identity, may_be_stored = identity_of(one, pack(one))

    assert identity == identity_of(same, pack(same))[0]
    assert len(identity) == 8
    assert may_be_stored is redelivered
    assert identity != identity_of(other, pack(other))[0]


def test_a_tag_may_be_any_text() -> None:
    sent = message(properties={"delivery_tag": "half \ud800"})

    assert len(identity_of(sent, pack(sent))[0]) == 8
