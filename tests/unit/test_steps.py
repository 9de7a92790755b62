"""Questions in steps: each gets its own answers, alone or together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from celery_ratekit.errors import LimiterUnavailableError, RatekitError, StateVersionError
from celery_ratekit.limiter.steps import Command, Steps, taken_alone, taken_together


def counting(name: bytes, times: int) -> Steps[list[int]]:
    """Asks so often, and returns what it was answered."""
    answers: list[int] = []
    while len(answers) < times:
        answers += [(yield Command(name, b"%d" % len(answers)))]
    return answers


def surviving(name: bytes) -> Steps[str]:
    """Returns what went wrong with its only command."""
    try:
        yield Command(name, b"")
    except LimiterUnavailableError as error:
        return f"survived {error}"
    return "went well"


class Server:
    """Answers with the number of the round trip; fails where the key says so."""

    def __init__(self) -> None:
        self.rounds: list[list[bytes]] = []

    def __call__(self, commands: Sequence[Command]) -> list[Any]:
        self.rounds.append([command.key + command.packed for command in commands])
        return [
            StateVersionError("newer") if command.key == b"bad"
            else LimiterUnavailableError("away") if command.key == b"away"
            else len(self.rounds)
            for command in commands
        ]  # fmt: skip


def test_the_next_commands_of_all_questions_share_a_round_trip() -> None:
    server = Server()
    results = taken_together([counting(b"a", 1), counting(b"b", 3), counting(b"c", 2)], server)
    assert results == [[1], [1, 2, 3], [1, 2]]
    assert server.rounds == [[b"a0", b"b0", b"c0"], [b"b1", b"c1"], [b"b2"]]


def test_a_question_that_needs_no_command_asks_nobody() -> None:
    server = Server()
    assert taken_together([counting(b"a", 0)], server) == [[]]
    assert taken_together([], server) == []
    assert server.rounds == []


def test_an_error_ends_its_own_question_only() -> None:
    good, bad, also_good = taken_together(
        [counting(b"a", 2), counting(b"bad", 2), counting(b"c", 1)], Server()
    )
    assert (good, also_good) == ([1, 2], [1])
    assert isinstance(bad, StateVersionError)


def test_a_question_may_go_on_after_an_error() -> None:
    assert taken_together([surviving(b"away"), surviving(b"a")], Server()) == [
        "survived away",
        "went well",
    ]


def test_what_is_wrong_before_anything_is_asked_stands_in_its_place_too() -> None:
    def refusing(name: bytes) -> Steps[int]:
        if name == b"unknown":
            raise RatekitError("no such limit")
        answer: int = yield Command(name, b"")
        return answer

    first, second = taken_together([refusing(b"unknown"), refusing(b"known")], Server())
    assert (str(first), second) == ("no such limit", 1)


def test_a_question_alone_returns_its_result_or_raises() -> None:
    server = Server()

    def ask(command: Command) -> Any:
        (answer,) = server([command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert taken_alone(counting(b"a", 3), ask) == [1, 2, 3]
    assert taken_alone(surviving(b"away"), ask) == "survived away"
    with pytest.raises(StateVersionError):
        taken_alone(counting(b"bad", 1), ask)
