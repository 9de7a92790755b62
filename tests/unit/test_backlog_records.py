"""What entries and groups are called, and how they are written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_ratekit.backlog import Group
from celery_ratekit.backlog.ids import group_id, hash8, line_id, name_id, task_id_bytes
from celery_ratekit.backlog.parking import wait_us
from celery_ratekit.backlog.records import fixed_info, read_info, read_record, record_rest
from celery_ratekit.errors import StateVersionError
from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limits import Concurrency, TokenBucket

KEYS = KeySpace("test")
ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"

texts = st.text(st.characters())  # Surrogates too.


def test_a_uuid_is_its_sixteen_bytes_and_nothing_else_is() -> None:
    assert task_id_bytes(ID) == (bytes.fromhex(ID.replace("-", "")), True)
    others = [ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", "", "ü\ud800"]
    packed = {task_id_bytes(other) for other in others}
    assert len(packed) == len(others)
    assert all(len(one) == 16 and not is_whole for one, is_whole in packed)


def test_lines_of_one_name_begin_alike() -> None:
    limits = [
        TokenBucket("a", "1/s"),
        TokenBucket("a", "1/s", key="k"),
        TokenBucket("a", "1/s", tag="t"),
        Concurrency("a", 1),
    ]
    ids = {line_id(KEYS, limit) for limit in limits}
    assert len(ids) == 4
    assert {(len(one), one[:8]) for one in ids} == {(16, name_id("a"))}
    assert name_id("b") != name_id("a")


def test_rate_and_cost_make_no_other_group_and_all_else_does() -> None:
    a, b = TokenBucket("a", "1/s"), TokenBucket("b", "1/s")
    same = [
        (a, b),
        (b, a),
        (a.with_rate("2/s"), b),
        (a, TokenBucket("b", "1/s", 3, cost=2)),
        (a, b, a),
    ]
    assert len({group_id(KEYS, Group("q", "t", limits)) for limits in same}) == 1
    others = [("t", (a,)), ("t", (b,)), ("u", (a, b)), ("t", (a, b.with_key("k"))), ("t", (a, b))]
    assert len({group_id(KEYS, Group("q", task, limits)) for task, limits in others}) == 5


@given(task=texts, name=texts.filter(bool), key=texts)
def test_a_groups_info_is_read_as_it_was_written(task: str, name: str, key: str) -> None:
    limits = (TokenBucket(name, "1/s", key=key), Concurrency("p", 1), Concurrency(name, 2))
    info = read_info(b"\1" + bytes(range(16)) + fixed_info(KEYS, Group("q", task, limits)))
    assert info.line_id == bytes(range(16))
    assert info.task == task
    assert info.limits == ((name, hash8(key)), ("p", hash8("")), (name, hash8("")))


@given(message=st.binary(), task_id=st.none() | texts, is_again=st.booleans())
def test_a_record_is_read_as_it_was_written(
    message: bytes, task_id: str | None, is_again: bool
) -> None:
    flags, rest = record_rest(message, task_id)
    parked = 1_800_000_000_000_000
    head = bytes([1, flags + is_again]) + parked.to_bytes(7, "little") + b"g" * 16 + b"identity"
    record = read_record(head + rest)
    assert record == (is_again, parked, b"g" * 16, b"identity", task_id, message)


def test_what_a_newer_release_wrote_is_refused() -> None:
    for read in (read_record, read_info):
        with pytest.raises(StateVersionError, match="newer release"):
            read(b"\2" + bytes(60))


@pytest.mark.parametrize(
    ("seconds", "us"),
    [
        (0, 0),
        (-1, 0),
        (float("nan"), 0),
        (0.0000001, 1),
        (1.5, 1_500_000),
        (float("inf"), 86_400_000_000),
        (1e300, 86_400_000_000),
    ],
)
def test_a_wait_is_whole_microseconds_up_to_a_day(seconds: float, us: int) -> None:
    assert wait_us(seconds) == us
