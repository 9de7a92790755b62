"""Who waits for which limits, who may be asked for next, and who is due: no I/O, no own clock."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ...limiter import Decision, Reservations
from ...limits import Limit
from .held import STOCKS_UP, Held, Line, LineKey, Origin
from .stock import adjust, expiry, most_of, take, take_old

__all__ = ["LONGEST_PAUSE_SECONDS", "QUEUED_PAUSE_SECONDS", "WaitingRoom"]

LONGEST_PAUSE_SECONDS = 1.0
"""When a denied line is asked for again at the latest: what stands in the way may be changed."""

BUSY_PAUSE_SECONDS = 0.05
"""When to ask again for a place that another worker may give back any time."""

QUEUED_PAUSE_SECONDS = 0.05
"""When to ask again where others wait in the backlog; who comes until then waits behind them."""

DOUBTFUL_PAUSE_SECONDS = 0.1
"""When to try again to find out whether requests were taken over."""

UNAVAILABLE_PAUSE_GROWTH = 2.0


class WaitingRoom:
    """The requests that a worker holds; moments are seconds by one clock of the caller's."""

    def __init__(self) -> None:
        self._lines: dict[LineKey, Line] = {}
        self._last: Line | None = None  # whom somebody came for last
        self._ready: deque[Line] = deque()
        self._asleep: list[tuple[float, int, Line]] = []
        self._granted: list[tuple[float, int, Held]] = []
        self._stocked: dict[Line, None] = {}
        self._overflowing: dict[Line, None] = {}
        self._held = 0  # how many are here
        self._count = 0  # of all that ever came; tells entries of one moment apart

    # -- who is here ------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._held

    def __iter__(self) -> Iterator[Held]:
        yield from self.granted
        for line in self._lines.values():
            yield from sorted(line.waiting)

    @property
    def lines(self) -> list[Line]:
        """The lines in which somebody waits."""
        return [line for line in self._lines.values() if line.waiting]

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits and nothing is kept for later."""
        return not self._lines and not self._granted

    @property
    def granted(self) -> list[Held]:
        """Those with a start that is not yet due, in the order of their starts."""
        return [held for _, _, held in sorted(self._granted)]

    @property
    def granted_count(self) -> int:
        """How many have a start that is not yet due."""
        return len(self._granted)

    def granted_until(self, moment: float) -> int:
        """How many have a start that lies before a moment."""
        return sum(due < moment for due, _, _ in self._granted)

    def enter(
        self,
        request: Any,
        limits: tuple[Limit, ...],
        now: float,
        origin: Origin = Origin.HELD,
    ) -> Held:
        """Takes in a request at the end of its line, or with a start that is in stock for it."""
        line = self._line_for(limits, origin)
        held = self._new(request, line, now)
        start = None if line.waiting else take(line, now)
        if start is None:
            held.was_hit = line.state == "asleep"
            self.put_back(held)
        else:
            self._held += 1
            self._grant(held, start[1], start[0])
        return held

    def pass_through(
        self,
        request: Any,
        limits: tuple[Limit, ...],
        now: float,
        origin: Origin = Origin.HELD,
    ) -> Held | None:
        """A request that need not enter, since a start is in stock whose moment has come."""
        line = self._line(limits, origin)
        if line is None or len(line.stock) <= len(line.waiting) or line.stock[0][0] > now:
            return None  # Those who wait come first.
        start = take(line, now)
        if start is None:
            return None
        held = self._new(request, line, now)
        held.due, held.decision = start
        held.is_aside = False
        return held

    def pass_granted(  # noqa: PLR0917 - as its neighbours, and all that it says of a request
        self,
        request: Any,
        limits: tuple[Limit, ...],
        now: float,
        origin: Origin,
        due: float,
        decision: Decision,
    ) -> Held:
        """A request that need not enter, since it was granted a start before it came."""
        held = self._new(request, self._line_for(limits, origin), now)
        held.due, held.decision = due, decision
        held.is_aside = False
        return held

    def _line_for(self, limits: tuple[Limit, ...], origin: Origin) -> Line:
        line = self._line(limits, origin)
        if line is None:
            key = LineKey(limits, origin)
            line = self._lines[key] = Line(key)
        return line

    def _line(self, limits: tuple[Limit, ...], origin: Origin) -> Line | None:
        line = self._last
        if line is None or line.limits is not limits or line.origin is not origin:
            line = self._last = self._lines.get(LineKey(limits, origin))
        return line

    def is_denied(self, limits: tuple[Limit, ...], origin: Origin, now: float) -> bool:
        """Whether nobody who comes now could start, as was said lately."""
        line = self._line(limits, origin)
        return line is not None and line.state == "asleep" and line.ask_at > now

    def _new(self, request: Any, line: Line, now: float) -> Held:
        self._count += 1
        line.was_used = True
        line.arrivals += 1
        return Held(request, line, self._count, now)

    def put_back(self, held: Held) -> None:
        """Takes in a request, or one whose grant came to nothing, at its place in the line."""
        held.decision = None
        # Its line may have been forgotten, and others may stand in a new one.
        line = held.line = self._lines.setdefault(held.line.key, held.line)
        line.push(held)
        self._held += 1
        if not line.state:
            self._make_ready(line)
        elif line.state == "asleep" and line.overflows:
            self._overflowing[line] = None

    def remove(self, held: Held) -> Decision | None:
        """Lets go of a request; returns the start that nobody of its line needs any more.

        ``held.due`` is then the moment of that start.
        """
        self._held -= 1
        if held.decision is None:
            held.line.remove(held)
            return None
        self._set_granted(one for _, _, one in self._granted if one is not held)
        successor = self.succeed(held)
        if successor is not None and successor.decision is not None:
            self._held += 1
            self._grant(successor, successor.decision, successor.due)
        return held.decision

    def succeed(self, held: Held) -> Held | None:
        """The next in line, which leaves the room with the start of one that does not need it.

        All behind it move up, and ``held`` is left with the start that nobody needs then, if any.
        """
        line = self._lines.get(held.line.key)
        granted = [one for _, _, one in self._granted]
        chain = sorted((one for one in granted if _is_behind(one, held)), key=_by_start)
        if line is not None and line.waiting:
            chain.append(line.pop())
        for one in chain:
            one.decision, held.decision = held.decision, one.decision
            one.due, held.due = held.due, one.due
        if not chain:
            return None
        self._held -= 1
        self._set_granted(one for one in {*granted, *chain} if one is not chain[0])
        return chain[0]

    # -- who may be asked for ---------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Makes those lines ready again whose pause is over.

        Those with requests that may wait elsewhere are to be taken over first.
        """
        while self._asleep and self._asleep[0][0] <= now:
            ask_at, _, line = heapq.heappop(self._asleep)
            if line.state != "asleep" or line.ask_at != ask_at:
                continue
            if line.is_doubtful:
                self._put_to_sleep(line, now + DOUBTFUL_PAUSE_SECONDS)
            else:
                self._make_ready(line)

    def wake_blocked_by(self, limits: set[Limit]) -> None:
        """Makes those lines ready that wait for a place of one of these limits."""
        counted = {_counted(limit) for limit in limits}
        if not counted:
            return
        for line in self._lines.values():
            waits_for_place = line.state == "asleep" and line.reason == "busy"
            if line.is_doubtful:
                continue
            if waits_for_place and line.blocked_by and _counted(line.blocked_by) in counted:
                self._make_ready(line)

    def ready(self) -> list[Line]:
        """The lines that wait for nothing but a slot."""
        self._forget_empty()
        return list(self._ready)

    def ready_without_promise(self) -> list[Line]:
        """Those of them that no later start is promised to."""
        promised = self._promised_lines()
        return [line for line in self.ready() if line not in promised]

    def _promised_lines(self) -> set[Line]:
        return {held.line for _, _, held in self._granted}

    def share_out(self, slots: int, now: float) -> list[tuple[Line, int]]:
        """How many of which ready lines to ask for, so that each gets its turn at a slot.

        Who can be given a start from stock is, and need not be asked for.
        """
        self._forget_empty()
        shares: dict[Line, int] = {}
        while slots > 0 and self._ready:
            slots -= 1
            line = self._ready.popleft()
            start = take(line, now)
            if start is None:
                shares[line] = shares.get(line, 0) + 1
            else:
                self._grant(line.pop(), start[1], start[0])
            if shares.get(line, 0) < len(line.waiting):
                self._ready.append(line)
            else:
                line.state = "asked" if line in shares else ""
        return list(shares.items())

    def share_out_until_promised(self, slots: int, now: float) -> list[tuple[Line, int]]:
        """The same among those lines that no later start is promised to.

        A line's own promised start comes before all others of it.
        """
        if slots <= 0:
            return []
        promised = self._promised_lines()
        later = [line for line in self._ready if line in promised]
        self._ready = deque(line for line in self._ready if line not in promised)
        shares = self.share_out(slots, now)
        self._ready.extend(later)
        return shares

    def make_denied_ready(self) -> None:
        """Makes all lines ready that were denied, but for those that may wait elsewhere as well."""
        for line in self._lines.values():
            if line.state == "asleep" and not line.is_doubtful:
                self._make_ready(line)

    def make_asked_ready(self) -> None:
        """Makes those lines ready again that were asked for without an answer."""
        for line in self._lines.values():
            if line.state == "asked":
                self._make_ready(line)

    # -- what was answered ------------------------------------------------------------------

    def answered(self, line: Line, answer: Reservations, now: float) -> list[Held]:
        """Grants what was granted, in order of arrival.

        Returns who was not granted at once and was not told of before.
        """
        late = []
        last_start = 0.0
        for decision in answer.decisions()[: len(line.waiting)]:
            held = line.pop()
            last_start = decision.wait_seconds
            self._grant(held, decision, now + last_start)
            if last_start > 0:
                late.append(held)
        if answer.blocked_by is None and not answer.wait_seconds:
            line.denials, line.reason, line.blocked_by = 0, "", None
            self._make_ready(line)
        else:
            line.reason, line.blocked_by = answer.reason, answer.blocked_by
            late += line.waiting
            line.denied_until, line.asked_us = now + answer.wait_seconds, answer.asked_us
            # The next start lies behind the last, so there is time until half of that is over.
            pause_seconds = max(self._pause_seconds(line, answer), last_start / 2)
            self._put_to_sleep(line, now + pause_seconds)
            line.denials += 1
        if line.origin in STOCKS_UP and (late or not line.stock_size):
            adjust(line, now, is_plentiful=not late)
        late = [held for held in late if not held.was_hit]
        for held in late:
            held.was_hit = True
        return late

    def stocked(self, line: Line, asked: int, answer: Reservations, now: float) -> list[Held]:
        """Keeps starts for requests that have not come yet; nobody is late for it."""
        for decision in answer.decisions():
            line.stock.append((now + decision.wait_seconds, decision))
        if line.stock:
            self._stocked[line] = None
        adjust(line, now, is_plentiful=answer.granted == asked)
        return []

    def _pause_seconds(self, line: Line, answer: Reservations) -> float:
        if answer.reason == "busy":
            return min(answer.wait_seconds, BUSY_PAUSE_SECONDS)
        if answer.reason == "queued":
            return QUEUED_PAUSE_SECONDS
        if answer.reason == "unavailable":
            grown = answer.wait_seconds * UNAVAILABLE_PAUSE_GROWTH ** min(line.denials, 8)
            return min(grown, LONGEST_PAUSE_SECONDS)
        return min(answer.wait_seconds, LONGEST_PAUSE_SECONDS)

    # -- who waits elsewhere ----------------------------------------------------------------

    def take_overflowing(self) -> list[Line]:
        """The lines that were denied since the last time whose requests do not wait here."""
        overflowing, self._overflowing = self._overflowing, {}
        return [line for line in overflowing if line.waiting and line.state == "asleep"]

    def let_go(self, line: Line, taken: Collection[Held]) -> None:
        """Lets go of some of those without a grant that wait in a line."""
        before = len(line.waiting)
        line.keep_all_but(taken)
        self._held -= before - len(line.waiting)

    # -- who is due -------------------------------------------------------------------------

    def take_due(self, now: float, at_most: float = math.inf) -> list[Held]:
        """Those whose granted start has come, in the order of their starts; they leave."""
        due: list[Held] = []
        while self._granted and self._granted[0][0] <= now and len(due) < at_most:
            due.append(heapq.heappop(self._granted)[2])
        self._held -= len(due)
        return due

    def long_held(self, since: float) -> list[Held]:
        """Those without a grant who have been here since then, or longer."""
        return [
            held for line in self._lines.values() for held in line.waiting if held.since <= since
        ]

    def next_moment(self) -> float | None:
        """When somebody is due or to be asked for; None where nobody waits for a moment."""
        moments = [entry[0][0] for entry in (self._granted, self._asleep) if entry]
        moments += [expiry(line) for line in self._stocked]
        return min(moments, default=None)

    # -- what is kept for later -------------------------------------------------------------

    def lines_low_on_stock(self) -> list[Line]:
        """The lines where nobody waits, and soon nothing would be left for those to come."""
        return [
            line
            for line in self._stocked
            if line.is_low_on_stock and line.arrivals and not line.waiting
        ]

    def take_old_stock(self, now: float) -> list[tuple[float, Decision]]:
        """What was granted for requests that did not come in time, with its moments."""
        old: list[tuple[float, Decision]] = []
        for line in list(self._stocked):
            old += take_old(line, now)
            if not line.stock:
                del self._stocked[line]
        return old

    def take_stock(self) -> list[tuple[float, Decision]]:
        """All that was granted for requests that have not come, with its moments."""
        return self.take_old_stock(math.inf)

    def forget_unused(self) -> None:
        """Forgets lines that nobody used since the last time; to be called now and then."""
        for line in list(self._lines.values()):
            if not line.waiting and not line.stock and not line.state:
                if not line.was_used and line not in self._promised_lines():
                    self._forget(line)
                line.was_used = False

    # -- states of requests and lines -------------------------------------------------------

    def _set_granted(self, granted: Iterable[Held]) -> None:
        self._granted = [(one.due, one.number, one) for one in granted]
        heapq.heapify(self._granted)

    def _grant(self, held: Held, decision: Decision, due: float) -> None:
        held.decision, held.due = decision, due
        heapq.heappush(self._granted, (due, held.number, held))

    def _make_ready(self, line: Line) -> None:
        if line.state != "ready":
            line.state = "ready"
            self._ready.append(line)

    def _put_to_sleep(self, line: Line, ask_at: float) -> None:
        if line.state == "ready":
            self._ready.remove(line)
        line.state, line.ask_at = "asleep", ask_at
        if line.waiting and line.overflows:
            self._overflowing[line] = None
        self._count += 1
        heapq.heappush(self._asleep, (ask_at, self._count, line))

    def _forget_empty(self) -> None:
        if all(line.waiting for line in self._ready):
            return
        for line in list(self._ready):
            if not line.waiting:
                self._ready.remove(line)
                line.state = ""
                if not most_of(line) and line not in self._promised_lines():
                    self._forget(line)

    def _forget(self, line: Line) -> None:
        self._last = None
        self._lines.pop(line.key, None)


def _by_start(held: Held) -> tuple[float, int]:
    return held.due, held.number


def _is_behind(one: Held, held: Held) -> bool:
    """Whether one has a later start of the same limits."""
    return _by_start(one) > _by_start(held) and one.line.key == held.line.key


def _counted(limit: Limit) -> tuple[type[Limit], str, object, str]:
    """What tells one limit's places from another's: all but what a call costs."""
    return type(limit), limit.name, limit.key, limit.tag
