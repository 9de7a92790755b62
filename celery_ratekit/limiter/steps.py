"""Questions that take several commands, written once for one caller and for a thousand at a time.

What has to be asked is a generator: it yields each command that it needs, is sent the answer (or
has the error raised where it waits), and returns its result. Alone, each command is a round trip of
its own; together, the next commands of all questions share one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

from ..errors import RatekitError
from .scripts import Script

__all__ = ["Command", "Steps", "taken_alone", "taken_together"]

T = TypeVar("T")


class Command(NamedTuple):
    """A packed command, the key by which its server is chosen, and the script that it calls."""

    key: bytes
    packed: bytes
    script: Script | None = None


Steps = Generator[Command, Any, T]


def taken_alone(steps: Steps[T], ask: Callable[[Command], Any]) -> T:
    """The result of one question; raises what it raises."""
    try:
        command = next(steps)
        while True:
            try:
                answer = ask(command)
            except RatekitError as error:
                command = steps.throw(error)
            else:
                command = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def taken_together(
    questions: Sequence[Steps[T]], ask_many: Callable[[Sequence[Command]], Sequence[Any]]
) -> list[T | RatekitError]:
    """The results of many questions in their order, or the error that one of them ended with.

    ``ask_many`` answers commands in their order, with an error in place of an answer.
    """
    results: dict[int, T | RatekitError] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(questions)))
    while answers:
        commands: dict[int, Command] = {}
        for index, answer in answers.items():
            try:
                commands[index] = _next(questions[index], answer)
            except StopIteration as end:
                results[index] = end.value
            except RatekitError as error:
                results[index] = error
        told = ask_many(list(commands.values())) if commands else ()
        answers = dict(zip(commands, told, strict=True))
    return [results[index] for index in range(len(questions))]


def _next(steps: Steps[T], answer: Any) -> Command:
    return steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
