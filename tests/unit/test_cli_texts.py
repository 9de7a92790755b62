"""What commands read from people, and how they print what comes from elsewhere."""

from __future__ import annotations

import json
import math
import pickle

import click
import pytest
from click.testing import CliRunner

from celery_ratekit.cli import main
from celery_ratekit.cli.backlog.arguments import MAX_BYTES, arguments_of
from celery_ratekit.cli.durations import short
from celery_ratekit.cli.output import finite, print_table
from celery_ratekit.cli.params import DURATION
from celery_ratekit.cli.terminal import on_one_line
from celery_ratekit.worker.backlog.parcel import pack

HOSTILE = "a\x1b[2J\n\tb\u202e[red]\x9b"


class Message:
    """What `pack` looks at."""

    def __init__(self, body: object, content_type: str = "application/json") -> None:
        self.body = body
        self.content_type = content_type
        self.content_encoding = "utf-8"
        self.headers: dict[str, object] = {}
        self.properties: dict[str, object] = {}
        self.delivery_info: dict[str, object] = {}


def packed(body: object, content_type: str = "application/json") -> bytes:
    return pack(Message(body, content_type))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5_400), ("2d", 172_800), (" 1 ", 1)],
)
def test_a_time_is_read_in_any_unit(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "soon", "1w", "1e3", "nan", "9" * 400])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a time of more than 0"):
        DURATION.convert(text, None, None)


def test_times_are_short_whatever_they_are() -> None:
    assert [short(one) for one in (0, 59.4, 3_599, math.inf, 10**9)] == [
        "0s",
        "59s",
        "59m 59s",
        "unknown",
        "11574d 1h",
    ]


def test_a_cell_is_one_line_without_control_characters() -> None:
    assert on_one_line(HOSTILE) == "a\\x1b[2J\\n\\tb\\u202e[red]\\x9b"


def test_a_table_in_a_pipe_is_neither_cut_nor_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["NAME", ">N"], [[HOSTILE, "1"], ["x" * 300, "22"]], empty="nothing")
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) == 3
    assert lines[1].startswith(on_one_line(HOSTILE))
    assert "x" * 300 in lines[2]
    assert "\x1b" not in "".join(lines)


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["NAME"], [], empty="nothing waits")
    assert capsys.readouterr().out == "nothing waits\n"


def test_json_has_no_word_for_infinity() -> None:
    said = finite({"a": [math.inf, 1.5, (math.nan,)], 3: "x"})
    assert json.dumps(said, allow_nan=False) == '{"a": [null, 1.5, [null]], "3": "x"}'


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([[1, "a\x1b"], {"k": [None]}, {"callbacks": None}]),
        json.dumps([[1, "a\x1b"], {"k": [None]}, {}]).encode(),
        json.dumps({"task": "t", "args": [1, "a\x1b"], "kwargs": {"k": [None]}}),
    ],
)
def test_arguments_of_either_protocol_are_read_from_json(body: str | bytes) -> None:
    found = arguments_of(packed(body))

    assert (found.args, found.kwargs, found.problem) == ([1, "a\x1b"], {"k": [None]}, "")
    assert str(found) == '1, "a\\u001b", k=[null]'


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize(
    ("body", "content_type", "problem"),
    [
        (pickle.dumps(Bomb()), "application/x-python-serialize", "not JSON but application/x-py"),
        (pickle.dumps(Bomb()), "application/json", "no JSON, though it says so"),
        ("[" * 100_000, "application/json", "no JSON, though it says so"),
        ("3", "application/json", "no JSON, though it says so"),
        ('["abc", {}]', "application/json", "no JSON, though it says so"),
        ("[" + "1," * MAX_BYTES + "1]", "application/json", "too many to show"),
    ],
    ids=["pickle", "pickle as JSON", "deep", "number", "string as arguments", "large"],
)
def test_nothing_but_json_is_decoded(body: str | bytes, content_type: str, problem: str) -> None:
    assert problem in str(arguments_of(packed(body, content_type)))


def test_what_is_no_message_is_said_to_be_none() -> None:
    assert "another release" in str(arguments_of(b"\x07 something newer"))


@pytest.mark.parametrize(
    "arguments", [["limits", "list"], ["backlog", "peek", "q"], ["explain", "x"], ["doctor"]]
)
def test_without_an_app_each_command_says_how_to_name_one(arguments: list[str]) -> None:
    ended = CliRunner().invoke(main, arguments, env={"CELERY_APP": ""})

    assert ended.exit_code == 2
    assert "say which with -A" in ended.stderr


def test_an_app_may_be_named_before_the_command() -> None:
    ended = CliRunner().invoke(main, ["-A", "no_such_shop", "limits", "list"])

    assert ended.exit_code == 2
    assert "there is no app 'no_such_shop'" in ended.stderr
