"""Many commands to one server at once: sent in a few large pieces, repaired where refused.

As with a single command, nothing is sent again that may have run: only what the server refused for
a reason that can be removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from ..errors import LimiterUnavailableError
from .connection import MAX_REPAIRS, HeldConnections, is_read_only
from .resp import pack
from .scripts import Script
from .steps import Command

__all__ = ["ask_together"]

PIECE_BYTES = 65_536
"""What is sent before answers are read: it fits into the buffers of both sides, so that neither
waits for the other to read, and nobody else waits for long until Redis is through with it."""


def ask_together(held: HeldConnections, commands: Sequence[Command]) -> list[Any]:
    """The answers in order, with an error in place of an answer.

    The errors are redis' ResponseError where the server refused a command, and
    LimiterUnavailableError where there is no usable answer.
    """
    answers = _in_pieces(held, [command.packed for command in commands])
    has_reconnected = False
    for _ in range(MAX_REPAIRS):
        unknown = [
            index
            for index, answer in enumerate(answers)
            if isinstance(answer, NoScriptError) and commands[index].script is not None
        ]
        demoted = [
            index
            for index, answer in enumerate(answers)
            if isinstance(answer, ResponseError) and is_read_only(answer) and not has_reconnected
        ]
        if demoted:
            # A master that became a replica: there may be a new one behind the address.
            held.drop()
            has_reconnected = True
        refused = sorted(demoted + _loaded(held, commands, answers, unknown))
        if not refused:
            break
        told = _in_pieces(held, [commands[index].packed for index in refused])
        for index, answer in zip(refused, told, strict=True):
            answers[index] = answer
    return answers


def _loaded(
    held: HeldConnections, commands: Sequence[Command], answers: list[Any], unknown: Sequence[int]
) -> list[int]:
    """Those of ``unknown`` whose script the server knows now; the others' answers say why not."""
    scripts: dict[Script, Any] = {}
    loaded = []
    for index in unknown:
        script = commands[index].script
        assert script is not None
        if script not in scripts:
            scripts[script] = held.exchange([pack((b"SCRIPT", b"LOAD", script.text))])[0]
        if isinstance(scripts[script], Exception):
            answers[index] = scripts[script]
        else:
            loaded.append(index)
    return loaded


def _in_pieces(held: HeldConnections, packed: Sequence[bytes]) -> list[Any]:
    """The answers; after a piece without them the rest is not sent."""
    answers: list[Any] = []
    for piece in _pieces(packed):
        answers += held.exchange(piece)
        if isinstance(answers[-1], LimiterUnavailableError):
            break
    answers += [_not_sent(answers[-1]) for _ in packed[len(answers) :]]
    return answers


def _pieces(packed: Sequence[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for command in packed:
        if piece and size + len(command) > PIECE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(command)
        size += len(command)
    if piece:
        yield piece


def _not_sent(error: LimiterUnavailableError) -> LimiterUnavailableError:
    failure = LimiterUnavailableError(
        f"Redis gave no answer to what was asked before ({error}), so this was not sent; nothing "
        "was charged. Ask again"
    )
    failure.__cause__ = error
    return failure
