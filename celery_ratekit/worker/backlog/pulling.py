"""When to look into the backlog, and how what is due there comes through the consumer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from celery.utils.log import get_logger

from ...backlog import Backlog, Claim, Return
from ...errors import LimiterUnavailableError, RatekitError
from ...limits import Limit
from .link import Link
from .liveness import bring_back
from .parcel import rebuild
from .pulled import ClaimBook

__all__ = ["Puller"]

LOOK_SECONDS = 1.0
"""How often to look for what others have parked."""

SELDOM_SECONDS = 60.0
"""The same where no task of this worker is parked: some may be since before a switch was turned."""

SWEEP_SECONDS = 5.0
"""How often to look for claims whose worker is gone."""

SWEEPS_LEFT_OUT = 3
"""How many of them are left out after an outage, in which nobody could say that it lives."""

MOST_AT_ONCE = 100

logger = get_logger(__name__)


class Puller:
    """Claims for a worker what is due in the queues that it consumes; ``clock`` is the gate's."""

    def __init__(
        self,
        store: Backlog,
        book: ClaimBook,
        link: Link,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._book = book
        self._link = link
        self._clock = clock
        self._look_at = 0.0
        self._sweep_at = 0.0
        self._due_at: dict[str, float] = {}
        self._present: dict[str, set[str]] = {}  # the tasks that wait in each queue
        self._freed: dict[str, set[Limit]] = {}  # what has room again, where it was not yet said
        self._uncertain: set[str] = set()  # queues where the answer to a claim was lost
        #: All queues that something was claimed from.
        self.claimed_from: set[str] = set()

    @property
    def is_due(self) -> bool:
        """Whether something waits that could start now, as far as is known."""
        now = self._clock()
        return any(due <= now for due in self._due_at.values())

    @property
    def next_moment(self) -> float:
        """When to look again; what is due already comes with the next slot."""
        now = self._clock()
        due = [moment for moment in self._due_at.values() if moment > now]
        return min([self._look_at, *due])

    @property
    def has_something(self) -> bool:
        """Whether anything of its tasks waits, due or not, as far as is known."""
        return bool(self._present)

    def look_soon(self) -> None:
        """Has the next turn look; may be called from any thread."""
        self._look_at = 0.0

    def expect(self, queue: str, task: str, moment: float) -> None:
        """Takes note that something in a queue will be due."""
        self._present.setdefault(queue, set()).add(task)
        self._due_at[queue] = min(moment, self._due_at.get(queue, math.inf))

    def expect_freed(self, limits: Iterable[Limit]) -> None:
        """Takes note that places of these limits came back."""
        freed = set(limits)
        for queue in self._link.queues if freed else ():
            self._freed.setdefault(queue, set()).update(freed)
            if queue not in self._present:
                self._look_at = 0.0  # Others may have parked there since the last look.
        self._ask_where_freed()

    def _ask_where_freed(self) -> None:
        for queue in self._freed.keys() & self._present.keys():
            self._due_at[queue] = self._clock()

    def look(self) -> None:
        """Finds out when something is due, where it is time to; brings back what the dead had."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + (LOOK_SECONDS if self._link.is_used else SELDOM_SECONDS)
        try:
            self._look(now)
            if now >= self._sweep_at:
                self._sweep_at = now + SWEEP_SECONDS
                self._sweep()
        except LimiterUnavailableError as error:
            self._sweep_at = now + SWEEPS_LEFT_OUT * SWEEP_SECONDS
            logger.warning("rate limits: the backlog cannot be looked into: %s", error)

    def pull(self, count: int) -> int:
        """Brings up to so many messages that are due through the consumer; how many came."""
        now = self._clock()
        pulled = 0
        for queue, due_at in sorted(self._due_at.items(), key=lambda one: one[1]):
            if due_at > now or pulled >= count:
                break
            claims = self._claim(queue, min(count - pulled, MOST_AT_ONCE))
            pulled += self._deliver(claims)
        return pulled

    def take(self, task_ids: Sequence[str]) -> None:
        """Brings these tasks through the consumer wherever they wait: they were revoked."""
        for queue in self._link.queues:
            try:
                claims = self._store.take(queue, self._book.worker, task_ids)
            except RatekitError as error:
                logger.warning("rate limits: revoked tasks stay in the backlog: %s", error)
                self._uncertain.add(queue)
            else:
                self._deliver(self._known(claims))

    def _known(self, claims: Sequence[Claim]) -> list[Claim]:
        """Those whose task this worker knows; others go back, for one that can mark them."""
        known = set(self._link.tasks)
        self._book.give_back(Return(claim) for claim in claims if claim.task not in known)
        return [claim for claim in claims if claim.task in known]

    def _look(self, now: float) -> None:
        self._mend()
        dues = self._store.dues(self._link.lasting, self._link.tasks)
        present = {queue: of_queue for queue, of_queue in dues.items() if of_queue}
        self._present = {queue: set(of_queue) for queue, of_queue in present.items()}
        self._due_at = {queue: now + min(of.values()) for queue, of in present.items()}
        self._freed = {queue: freed for queue, freed in self._freed.items() if queue in present}
        self._ask_where_freed()
        if present and not self._link.is_used:
            self._wake(present)

    def _wake(self, queues: Iterable[str]) -> None:
        """Has all be asked for at once: what they waited for may not limit them any more."""
        self._link.use()
        for queue in queues:
            self._store.wake(queue)
        self._look_at = 0.0

    def _mend(self) -> None:
        """Gives back what this worker may have claimed without having been told."""
        for queue in list(self._uncertain):
            self._store.give_back_all(queue, self._book.worker, keep=self._book.known(queue))
            self._uncertain.discard(queue)

    def _claim(self, queue: str, count: int) -> list[Claim]:
        freed = self._freed.pop(queue, set())
        try:
            tasks = sorted(self._present.get(queue, ()))
            claimed = self._store.claim(queue, self._book.worker, tasks, count, freed=freed)
        except RatekitError as error:
            logger.warning("rate limits: nothing can be taken out of the backlog: %s", error)
            self._freed.setdefault(queue, set()).update(freed)
            self._uncertain.add(queue)
            self._due_at.pop(queue, None)  # until it is looked for again
            return []
        self.claimed_from.add(queue)
        self._due_at[queue] = self._clock() + claimed.next_due_seconds
        return claimed.claims

    def _deliver(self, claims: Sequence[Claim]) -> int:
        delivered = 0
        for claim in claims:
            tag = self._book.add(claim)
            try:
                message = rebuild(
                    claim.message,
                    channel=self._book.channel,
                    delivery_tag=tag,
                    accept=self._link.accept,
                    redelivered=claim.is_again,
                )
                self._link.feed(message)
            except Exception:
                logger.exception("rate limits: a task from the backlog could not be taken in")
                self._book.give_back_claim(tag)
            else:
                delivered += 1
        return delivered

    def _sweep(self) -> None:
        """Brings back what workers had claimed that do not live any more."""
        for queue in self._link.queues:
            bring_back(self._store, queue, self._book.worker)
