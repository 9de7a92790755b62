"""The gate's overflow into the backlog: parks who is denied, pulls who is due."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from celery.utils.log import get_logger

from ...backlog import Backlog, Return
from ...errors import LimiterUnavailableError
from ...limits import Limit
from ...queues import QUEUE_HEADER
from ..gate.held import Held, Line, Origin
from ..gate.requests import forget
from .link import Link
from .liveness import Liveness
from .marker import Marker
from .parking import Parker, wait_seconds
from .pulled import ClaimBook
from .pulling import Puller

__all__ = ["Backlogging"]

RETRY_SECONDS = 1.0

logger = get_logger(__name__)


class Backlogging:
    """Lets those wait in the backlog that would else stand in others' way."""

    def __init__(
        self,
        store: Backlog,
        *,
        link: Link,
        book: ClaimBook,
        liveness: Liveness,
        marker: Marker,
        parker: Parker,
        puller: Puller,
        clock: Callable[[], float],
        on_use: Callable[[], object],
    ) -> None:
        self.puller = puller
        self._store = store
        self._book = book
        self._liveness = liveness
        self._marker = marker
        self._parker = parker
        self._link = link
        self._clock = clock
        self._on_use = on_use

    @property
    def is_due(self) -> bool:
        return self.puller.is_due

    def is_pulled(self, request: Any) -> bool:
        return self._book.is_pulled(request)

    def origin_of(self, request: Any) -> Origin:
        if self._book.is_pulled(request):
            self._book.receive(request)
            return Origin.PULLED
        link = self._link
        is_throttled = QUEUE_HEADER in request.request_dict
        if is_throttled and not link.is_used:
            link.use()
        may_be_parked = is_throttled or link.parks(request.task)
        if may_be_parked and link.queue_of(request.message) is not None:
            return Origin.PARKABLE
        return Origin.HELD

    def expects_more(self, waiting: int) -> bool:
        return self._link.has_room(waiting)

    def take(self, line: Line, now: float) -> Collection[Held]:
        if line.origin is Origin.PULLED:
            return self._give_back(line, now)
        parked = self._parker.park(line, now)
        wait = wait_seconds(line, now)
        for held in parked:
            queue = self._link.queue_of(held.request.message)
            if queue is not None:
                self.puller.expect(queue, held.request.task.name, now + wait)
        return parked

    def _give_back(self, line: Line, now: float) -> Collection[Held]:
        if line.blocked_by is None or line.reason == "unavailable":
            return ()
        wait = wait_seconds(line, now)
        self._marker.mark([line.blocked_by])
        returns, given_back = [], []
        for held in line.waiting:
            claim = self._book.let_go(held.request)
            if claim is not None:
                returns.append(Return(claim, line.blocked_by, wait, asked_us=line.asked_us))
                self.puller.expect(claim.queue, claim.task, now + wait)
            forget(held.request)
            given_back.append(held)
        self._book.give_back(returns)
        return given_back

    def look(self) -> None:
        self.puller.look()
        if self.puller.has_something or self._link.has_queues:
            self._on_use()

    def wake(self, names: Collection[str] | None) -> None:
        for queue in self._link.queues:
            for name in [None] if names is None else names:
                self._store.wake(queue, limit_name=name)
        self.puller.look_soon()

    def pull(self, count: int) -> int:
        if not self.puller.is_due:
            return 0
        try:
            self._liveness.begin()
        except LimiterUnavailableError:
            return 0
        return self.puller.pull(count)

    def revoke(self, task_ids: Sequence[str]) -> None:
        if not self._link.is_used:
            return
        try:
            self._liveness.begin()
        except LimiterUnavailableError as error:
            logger.warning("rate limits: revoked tasks stay in the backlog: %s", error)
            return
        self.puller.take(task_ids)

    def came_back(self, held: Held) -> None:
        held.was_hit = True  # It was told of when it was parked.
        claim = self._book.claim_of(held.request)
        if claim is None:
            return
        if claim.claimed_us:
            held.waited_before = max(0.0, (claim.claimed_us - claim.parked_us) / 1e6)
        if claim.is_last:
            return
        self._marker.mark(
            limit for limit in held.line.limits if self._store.line_id(limit) == claim.line_id
        )

    def settle(self, freed: set[Limit]) -> None:
        if self._book.has_to_write:
            self._book.write()
        if freed:
            self.puller.expect_freed(freed)

    def next_moment(self) -> float | None:
        moment = self.puller.next_moment
        return min(moment, self._clock() + RETRY_SECONDS) if self._book.has_to_write else moment

    def shown(self) -> dict[str, Any]:
        try:
            queues = self._link.lasting
            sizes = {queue: self._store.sizes(queue, most_groups=0) for queue in queues}
        except LimiterUnavailableError as error:
            return {"error": str(error)}
        return {
            "claimed_here": len(self._book),
            "queues": {
                queue: {"waiting": one.waiting, "claimed": one.claimed, "limits": one.by_limit}
                for queue, one in sizes.items()
            },
        }

    def open(self) -> None:
        self._link.renew()

    def close(self) -> None:
        self._book.give_back_unbegun()

    def abandon(self) -> None:
        self._book.write()
        try:
            for queue in self.puller.claimed_from:
                self._store.give_back_all(queue, self._book.worker)
        except LimiterUnavailableError:
            return  # It is brought back once this worker is taken for dead.
        self._liveness.end()
