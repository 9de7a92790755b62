"""Rules are read from plain data, or from limits, and say exactly what cannot be read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celery_ratekit import Concurrency, FixedWindow, Limit, Rate, SlidingWindow, TokenBucket
from celery_ratekit.errors import BadOptionError, BadRateError
from celery_ratekit.patterns import matches
from celery_ratekit.rules import MAX_NAME_LENGTH, Rule, named_limits_from, rules_from


def rules(given: Any) -> tuple[Rule, ...]:
    return rules_from(given, "ratekit_rules")


def named(given: Any) -> dict[str, Limit]:
    return named_limits_from(given, "ratekit_limits")


def first_word(call: Any) -> str:
    return str(call.args[0])


# -- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "task_name", "expected"),
    [
        ("reports.daily", "reports.daily", True),
        ("reports.daily", "reports.daily2", False),
        ("reports", "reports.daily", False),
        ("reports.*", "reports.daily", True),
        ("reports.*", "reports.eu.daily", True),
        ("reports.*", "reports", False),
        ("reports.*", "my.reports.daily", False),
        ("*.daily", "reports.daily", True),
        ("*", "anything", True),
        ("reports.?", "reports.a", True),
        ("reports.?", "reports.ab", False),
        ("reports.[ab]", "reports.b", True),
        ("reports.[!ab]", "reports.b", False),
        ("reports[", "reports[", True),
        ("Reports.*", "reports.daily", False),
        ("reportsXdaily", "reports.daily", False),
        ("reports.daily", "reportsXdaily", False),
    ],
)
def test_a_pattern_means_the_whole_name_and_its_case(
    pattern: str, task_name: str, expected: bool
) -> None:
    assert matches(pattern, task_name) is expected
    assert Rule(pattern, (TokenBucket(rate=1),)).matches(task_name) is expected


# -- what a rule may say --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "limits"),
    [
        ("100/m", [TokenBucket(rate="100/m")]),
        (" 100 / M ", [TokenBucket(rate="100/m")]),
        ("10/60s:5", [TokenBucket(rate="10/60s:5")]),
        (5, [TokenBucket(rate="5/s")]),
        (0.5, [TokenBucket(rate="0.5/s")]),
        ("5", [TokenBucket(rate="5/s")]),
        (0, [TokenBucket(rate="0/s")]),
        ("unlimited", [TokenBucket(rate="unlimited")]),
        (Rate(10, 60, 5), [TokenBucket(rate="10/m:5")]),
        (FixedWindow(rate="10/m"), [FixedWindow(rate="10/m")]),
        (TokenBucket("stripe", "25/s"), [TokenBucket("stripe", "25/s")]),
        (
            SlidingWindow("mail", "10/m", key=first_word),
            [SlidingWindow("mail", "10/m", key=first_word)],
        ),
        (["100/m"], [TokenBucket(rate="100/m")]),
        (
            ("100/m", Concurrency(size=4), FixedWindow("day", "1000/d")),
            [TokenBucket(rate="100/m"), Concurrency(size=4), FixedWindow("day", "1000/d")],
        ),
        ({"limits": "100/m"}, [TokenBucket(rate="100/m")]),
        (
            {"limits": ["100/m", Concurrency(size=4)]},
            [TokenBucket(rate="100/m"), Concurrency("", 4)],
        ),
    ],
)
def test_a_rule_is_a_rate_a_limit_or_several(source: Any, limits: list[Limit]) -> None:
    assert rules({"reports.*": source}) == (Rule("reports.*", tuple(limits), "enforce"),)


def test_a_rate_keeps_the_text_that_was_written() -> None:
    (rule,) = rules({"*": "100/60s"})

    assert repr(rule.limits) == "(TokenBucket(rate='100/60s'),)"


def test_the_burst_of_a_rate_is_its_own_else_one() -> None:
    limits = [rule.limits[0] for rule in rules({"a": "10/m:5", "b": "10/m"})]

    assert [limit.capacity for limit in limits] == [5, 1]


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_a_rule_may_have_a_mode_of_its_own(mode: str) -> None:
    assert rules({"*": {"limits": 5, "mode": mode}})[0].mode == mode


def test_rules_stand_in_the_order_in_which_they_were_written() -> None:
    assert [rule.pattern for rule in rules({"z": 1, "a": 2, "*": 3})] == ["z", "a", "*"]
    assert rules({}) == ()


@pytest.mark.parametrize(
    "limits",
    [
        [TokenBucket(rate="1/s"), FixedWindow(rate="1/s")],
        [TokenBucket("a", "1/s"), TokenBucket("b", "1/s"), "1/s"],
        [TokenBucket("a", "1/s"), TokenBucket("a", "1/s", key=first_word)],
        [TokenBucket("a", "1/s"), TokenBucket("a", "1/s", tag="t")],
    ],
)
def test_limits_of_one_rule_may_differ_in_kind_name_key_or_tag(limits: Any) -> None:
    assert len(rules({"*": limits})[0].limits) == len(limits)


# -- what it may not ------------------------------------------------------------------------------

FORMS = 'expected a rate such as "100/m" or a limit such as TokenBucket\\("stripe", "25/s"\\)'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "expected a dictionary from task name patterns for ratekit_rules, got None"),
        ("100/m", 'got \'100/m\'; write for example {"reports.\\*": "100/m"}'),
        ([("reports.*", "100/m")], "expected a dictionary from task name patterns"),
        ({5: "100/m"}, "expected task name patterns as keys of ratekit_rules, got 5"),
        ({None: "100/m"}, "expected task name patterns as keys of ratekit_rules, got None"),
        ({"": "100/m"}, "expected task name patterns as keys of ratekit_rules, got ''"),
        (
            {"x.*": "fast"},
            r"ratekit_rules\['x.\*'\] cannot work: expected a rate.*got 'fast'; for no limit write",
        ),
        ({"x.*": "10/min"}, r"ratekit_rules\['x.\*'\] cannot work: .*'10/min'; write \"10/m\""),
        ({"x.*": -1}, r"ratekit_rules\['x.\*'\] cannot work: .*amount of 0 or more, got -1"),
        ({"x.*": float("inf")}, r"ratekit_rules\['x.\*'\] cannot work: .*\"unlimited\""),
        ({"x.*": None}, rf"{FORMS} for ratekit_rules\['x.\*'\], got None"),
        ({"x.*": True}, rf"{FORMS} for ratekit_rules\['x.\*'\], got True"),
        ({"x.*": b"1/s"}, rf"{FORMS} for ratekit_rules\['x.\*'\], got b'1/s'"),
        ({"x.*": {"1/s"}}, rf"{FORMS} for ratekit_rules\['x.\*'\], got {{'1/s'}}"),
        ({"x.*": TokenBucket}, rf"{FORMS} for ratekit_rules\['x.\*'\], got <class"),
        ({"x.*": timedelta(1)}, rf"{FORMS} for ratekit_rules\['x.\*'\], got datetime"),
        ({"x.*": []}, r"ratekit_rules\['x.\*'\], got an empty list; leave the rule out"),
        ({"x.*": ["1/s", None]}, rf"{FORMS} for ratekit_rules\['x.\*'\], got None"),
        ({"x.*": [["1/s"]]}, rf"{FORMS} for ratekit_rules\['x.\*'\], got \['1/s'\]"),
        ({"x.*": [{"limits": 5}]}, rf"{FORMS} for ratekit_rules\['x.\*'\], got {{'limits'"),
        ({"x.*": {}}, 'expected "limits" in .*, got none; write for example {"limits"'),
        ({"x.*": {"mode": "shadow"}}, 'expected "limits" in .*, got none'),
        (
            {"x.*": {"limit": "1/s"}},
            "expected \"limits\" and \"mode\" in .*, got 'limit'; did you mean 'limits'\\?",
        ),
        ({"x.*": {"limits": "1/s", 5: 1}}, 'expected "limits" and "mode" in .*, got 5'),
        ({"x.*": {"limits": None}}, rf"{FORMS} for ratekit_rules\['x.\*'\], got None"),
        ({"x.*": {"limits": {"limits": 5}}}, rf"{FORMS} for ratekit_rules\['x.\*'\], got {{"),
        (
            {"x.*": {"limits": "1/s", "mode": "shadwo"}},
            r"expected one of 'enforce', 'shadow' for the mode .*'shadwo'; did you mean 'shadow'",
        ),
        ({"x.*": {"limits": "1/s", "mode": None}}, "'enforce', 'shadow' for the mode .*, got None"),
        ({"x.*": {"limits": "1/s", "mode": ["a"]}}, r"for the mode .*, got \['a'\]"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place_and_what_came(given: Any, message: str) -> None:
    with pytest.raises(BadOptionError, match=message):
        rules(given)


def test_a_bad_rate_is_the_cause_of_its_error() -> None:
    with pytest.raises(BadOptionError) as caught:
        rules({"*": "10/week"})

    assert isinstance(caught.value.__cause__, BadRateError)


def test_what_came_is_cut_short_in_messages() -> None:
    with pytest.raises(BadOptionError) as caught:
        rules({"p" * 1_000: {"x" * 1_000: 1}})

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("limits", "whose"),
    [
        (["100/m", "5/s"], "the kind TokenBucket under the task's name"),
        (["100/m", "100/m"], "the kind TokenBucket under the task's name"),
        ([FixedWindow("x", "1/s"), FixedWindow("x", "9/m")], "FixedWindow under the name 'x'"),
    ],
)
def test_limits_of_one_rule_that_count_in_one_place_are_refused(limits: Any, whose: str) -> None:
    message = rf"(?s)counted apart in ratekit_rules\['\*'\], got two of .*{whose}; .*'another name'"

    with pytest.raises(BadOptionError, match=message):
        rules({"*": limits})


# -- limits by name -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "limit"),
    [
        ("25/s", TokenBucket("stripe", "25/s")),
        (25, TokenBucket("stripe", "25/s")),
        ("25/s:100", TokenBucket("stripe", "25/s:100")),
        (Rate(25), TokenBucket("stripe", "25/s")),
        (Concurrency(size=4), Concurrency("stripe", 4)),
        (FixedWindow("stripe", "10/m"), FixedWindow("stripe", "10/m")),
        (FixedWindow(rate="9/m", key=first_word), FixedWindow("stripe", "9/m", key=first_word)),
    ],
)
def test_a_named_limit_has_the_name_that_it_stands_under(source: Any, limit: Limit) -> None:
    assert named({"stripe": source}) == {"stripe": limit}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "expected a dictionary from names to rates or limits for ratekit_limits, got None"),
        ([TokenBucket("a", 1)], 'ratekit_limits, got .*; write for example {"stripe": "25/s"}'),
        ({5: "1/s"}, f"names of 1 to {MAX_NAME_LENGTH} characters as keys of .*, got 5"),
        ({"": "1/s"}, "names of 1 to 200 characters as keys of ratekit_limits, got ''"),
        ({"x" * 201: "1/s"}, "names of 1 to 200 characters as keys of ratekit_limits, got 'xxx"),
        ({"a": "fast"}, r"ratekit_limits\['a'\] cannot work: expected a rate.*'fast'"),
        ({"a": ["1/s"]}, rf"{FORMS} for ratekit_limits\['a'\], got \['1/s'\]"),
        ({"a": {"limits": "1/s"}}, rf"{FORMS} for ratekit_limits\['a'\], got {{"),
        ({"a": None}, rf"{FORMS} for ratekit_limits\['a'\], got None"),
        (
            {"a": TokenBucket("b", "1/s")},
            r"expected a limit named 'a' or without .* got TokenBucket\('b', '1/s'\); leave its",
        ),
    ],
)
def test_what_is_no_named_limit_is_refused(given: Any, message: str) -> None:
    with pytest.raises(BadOptionError, match=message):
        named(given)


def test_a_name_of_the_longest_kind_is_taken() -> None:
    assert list(named({"x" * MAX_NAME_LENGTH: 5})) == ["x" * MAX_NAME_LENGTH]
