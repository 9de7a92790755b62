"""Puts questions to the Lua core: finds the server, sends what it lacks, reads the answer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from time import monotonic
from typing import Any, TypeVar

from ..errors import RatekitError, ReservationError
from ..limits import Limit, ScheduledBucket
from .keys import KeySpace
from .overrides.book import OverrideBook
from .overrides.view import View
from .prepared import Limits, Prepared, Preparer
from .presence import Presence
from .question import Part, command
from .resp import pack
from .schedule import InstantRuns
from .scripts import AMEND, DECIDE, INSPECT, Script
from .steps import Command, Steps, taken_alone, taken_together
from .transport import Transport

__all__ = ["Core", "doubles", "holder_bytes"]

T = TypeVar("T")

REMEMBERED_QUESTIONS = 4_096
"""How many different limits or tuples of limits keep their packed question."""

MAX_INSTANT_ROUNDS = 20
"""How often Redis may ask for more instants of a schedule; each round at least doubles them."""


class Core:
    """The scripts of one Redis deployment, as functions of limits.

    ``clock`` gives whole microseconds since 1970; None: the server's own clock. ``presence`` is
    told of each answer. ``overrides`` are what counts in place of the limits' own rates; None:
    nothing does. All methods raise LimiterUnavailableError where there is no answer.
    """

    def __init__(
        self,
        transport: Transport,
        keys: KeySpace,
        *,
        clock: Callable[[], int] | None = None,
        presence: Presence | None = None,
        overrides: OverrideBook | None = None,
    ) -> None:
        self.keys = keys
        self.preparer = Preparer(keys, splits_by_slot=transport.splits_by_slot)
        self._transport = transport
        self._clock = clock
        self._presence = presence
        self._runs = InstantRuns()
        self._overrides = overrides
        self._view: View | None = None
        self._remembered = self._memory_of(None)

    @property
    def has_own_clock(self) -> bool:
        """Whether time is not the server's, so that no question may be packed ahead."""
        return self._clock is not None

    def prepared(self, limits: Limits) -> Prepared:
        """The question about ``limits`` as they are to be enforced now, made once."""
        overrides = self._overrides
        # Written out, because it is asked for each call and the view is nearly always the same.
        if overrides is not None and (
            overrides.current is not self._view or monotonic() >= overrides.fresh_until
        ):
            self._follow(overrides.view())
        return self._remembered(limits if isinstance(limits, Limit) else tuple(limits))

    def charged(self, limit: Limit) -> Limit:
        """The limit at the rate that counts now, to change what a call of it was charged."""
        if self._overrides is None or (view := self._overrides.view()).is_empty:
            return limit
        rated = view.rated(limit)
        # What is lifted or stopped says nothing of how its tokens come back.
        return limit if rated.is_unlimited or rated.is_paused else rated

    def _follow(self, view: View) -> None:
        if view is not self._view:
            self._remembered = self._memory_of(view)
            self._view = view

    def _memory_of(self, view: View | None) -> Callable[[Limit | tuple[Limit, ...]], Prepared]:
        """Makes questions under one view; each view has its own, so that none outlives it."""

        def prepare(limits: Limit | tuple[Limit, ...]) -> Prepared:
            return self.preparer.prepare(limits, view)

        return lru_cache(REMEMBERED_QUESTIONS)(prepare)

    def ask(self, key: bytes, packed: bytes, script: Script | None) -> Any:
        """The answer to a packed command of the server that has ``key``."""
        answer = self._transport.ask(key, packed, script)
        if self._presence is not None:
            self._presence.beat()
        return answer

    def ask_many(self, commands: Sequence[Command]) -> list[Any]:
        """The answers in order, in one round trip, with an error in place of an answer."""
        answers = self._transport.ask_many(commands)
        if self._presence is not None and not all(isinstance(one, Exception) for one in answers):
            self._presence.beat()
        return answers

    def finish(self, steps: Steps[T]) -> T:
        """The result of one question."""
        return taken_alone(steps, lambda command: self.ask(*command))

    def finish_all(self, questions: Sequence[Steps[T]]) -> list[T | RatekitError]:
        """The results of many questions, whose commands share their round trips."""
        return taken_together(questions, self.ask_many)

    def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """The answer of a script that is asked about keys rather than limits."""
        return self.ask(*self.call(script, keys, arguments))

    def call(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Command:
        """The command that `run` sends."""
        packed = pack((b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *arguments))
        return Command(keys[0], packed, script)

    def deciding(self, group: Sequence[Part], *, holder: str, **options: Any) -> Steps[Any]:
        """The answer of decide.lua; ``options`` are those of `question.command`."""
        return self._answering(DECIDE, group, holder=holder_bytes(holder), **options)

    def inspect(self, group: Sequence[Part]) -> Any:
        """The answer of inspect.lua."""
        return self.finish(self._answering(INSPECT, group))

    def amending(
        self,
        group: Sequence[Part],
        changes: Sequence[float],
        *,
        holder: str,
        start_us: int,
        asked_us: int,
    ) -> Steps[Any]:
        """Changes what a call was charged that was granted ``start_us`` when asked ``asked_us``."""
        return self._answering(
            AMEND,
            group,
            costs=changes,
            holder=holder_bytes(holder),
            horizon_us=start_us,
            extra_arguments=[b"%d" % asked_us],
        )

    def clock_us(self) -> int:
        """The time to send with a question: 0 stands for the server's."""
        return 0 if self._clock is None else self._clock()

    def close(self) -> None:
        """Closes every idle connection."""
        self._transport.close()

    def _answering(self, script: Script, group: Sequence[Part], **options: Any) -> Steps[Any]:
        """The answer to a question, after as many instants of schedules as it needs."""
        for _ in range(MAX_INSTANT_ROUNDS):
            packed = command(
                script, group, clock_us=self.clock_us(), instants=self._instants, **options
            )
            answer = yield Command(group[0].keys[0], packed, script)
            if isinstance(answer, int) or answer[0] != -1:
                return answer
            _, now, who, since, ahead, back = answer
            limit = group[who - 1].limit
            assert isinstance(limit, ScheduledBucket)
            self._runs.of(limit.schedule).reach(int(since), 2 * ahead, now, back)
        raise ReservationError(
            f"the schedule of {group[0].limit.shown_name!r} could not be followed far enough; "
            "ask for fewer starts or a shorter horizon"
        )

    def _instants(self, limit: Limit) -> bytes:
        assert isinstance(limit, ScheduledBucket)
        return self._runs.of(limit.schedule).packed(self.clock_us())


def doubles(*values: float) -> bytes:
    """Numbers as the scripts unpack them."""
    return struct.pack(f"<{len(values)}d", *values)


def holder_bytes(holder: str) -> bytes:
    """A holder's id as Redis keeps it, whatever characters strangers put into it."""
    return holder.encode("utf-8", "surrogatepass")
