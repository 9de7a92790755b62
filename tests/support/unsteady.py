"""A way to a real Redis that a test can cut: before a question, or before its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter.scripts import Script
from celery_ratekit.limiter.steps import Command
from celery_ratekit.limiter.transport import Transport

__all__ = ["Unsteady"]


class Unsteady:
    """Wraps a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.splits_by_slot = transport.splits_by_slot
        #: Whether no question comes through.
        self.is_away = False
        #: Scripts of which no question comes through.
        self.refuses: set[Script] = set()
        #: Scripts that are carried out, but nobody hears of it; each once.
        self.loses: list[Script] = []
        #: How many commands were to be carried out.
        self.commands = 0

    def ask(self, key: bytes, command: bytes, script: Script | None = None) -> Any:
        (answer,) = self.ask_many([Command(key, command, script)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask_many(self, commands: Sequence[Command]) -> list[Any]:
        return [self._answer(command) for command in commands]

    def close(self) -> None:
        self._transport.close()

    def _answer(self, command: Command) -> Any:
        self.commands += 1
        if self.is_away or command.script in self.refuses:
            return LimiterUnavailableError("as the test wants it")
        (answer,) = self._transport.ask_many([command])
        if command.script in self.loses:
            self.loses.remove(command.script)
            return LimiterUnavailableError("the answer was lost, as the test wants it")
        return answer
