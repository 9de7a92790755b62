"""Labels of metrics are names, and never more than are allowed."""

from __future__ import annotations

from celery_ratekit.metrics.labels import OTHER, Names


def test_names_that_come_first_are_labels_and_all_others_are_one() -> None:
    names = Names()

    assert [names.label(name, 2) for name in ("a", "b", "c", "d")] == ["a", "b", OTHER, OTHER]
    assert [names.label(name, 2) for name in ("b", "a")] == ["b", "a"]
    assert names.has("a")
    assert not names.has("c")


def test_a_label_can_always_be_written_and_is_of_bounded_length() -> None:
    names = Names()

    assert names.label("half a pair \ud800", 9).encode() == b"half a pair ?"
    assert len(names.label("x" * 10_000, 9)) <= 200


def test_names_that_look_alike_when_shown_take_no_place_of_others() -> None:
    names = Names()

    assert names.label("x" * 300, 9) == names.label("x" * 301, 9)
