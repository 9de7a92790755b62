"""What this worker has claimed from the backlog, from its claim to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from celery.utils.log import get_logger
from celery.worker import state

from ...backlog import Backlog, Claim, Return
from ...errors import RatekitError

__all__ = ["ClaimBook", "PulledChannel"]

logger = get_logger(__name__)


class PulledChannel:
    """Stands where a broker's channel would, for messages that came from the backlog.

    ``on_end(delivery_tag, requeue)`` hears of each that is acknowledged or rejected.
    """

    no_ack_consumers = None

    def __init__(self, on_end: Callable[[str, bool], None]) -> None:
        self._on_end = on_end

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Nothing of the message is needed any more."""
        self._on_end(delivery_tag, False)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message goes back to its place, or is not needed any more."""
        self._on_end(delivery_tag, requeue)


class ClaimBook:
    """The claims of one worker, and what is still to be written down about them.

    ``on_change`` is called when there is something to write, from any thread.
    """

    def __init__(self, store: Backlog, worker: str, on_change: Callable[[], None]) -> None:
        self.channel = PulledChannel(self._end)
        self._store = store
        self.worker = worker
        self._on_change = on_change
        self._numbers = count(1)
        self._claims: dict[str, Claim] = {}
        self._done: deque[Claim] = deque()
        self._returns: deque[Return] = deque()

    def __len__(self) -> int:
        """How many entries this worker has."""
        return len(self._claims)

    @property
    def has_to_write(self) -> bool:
        """Whether something is over that the store does not know of yet."""
        return bool(self._done or self._returns)

    def known(self, queue: str) -> list[bytes]:
        """The entries of a queue that this worker knows to have."""
        claims = [*self._claims.values(), *self._done, *(one.claim for one in self._returns)]
        return [claim.entry_id for claim in claims if claim.queue == queue]

    def add(self, claim: Claim) -> str:
        """The delivery tag of a new claim."""
        tag = f"ratekit-{next(self._numbers)}"
        self._claims[tag] = claim
        return tag

    def is_pulled(self, request: Any) -> bool:
        """Whether a request came from here."""
        return getattr(request.message, "channel", None) is self.channel

    def receive(self, request: Any) -> None:
        """Has a request that came from here acknowledged at once, in whichever thread.

        What Celery asks the consumer's loop to do later, it may never do.
        """
        message = request.message
        request._on_ack, request._on_reject = message.ack_log_error, message.reject_log_error

    def claim_of(self, request: Any) -> Claim | None:
        """The claim that a request came with, if this worker still has it."""
        return self._claims.get(request.message.delivery_tag)

    def let_go(self, request: Any) -> Claim | None:
        """The claim that a request came with; nobody here knows it any more."""
        return self._claims.pop(request.message.delivery_tag, None)

    def give_back(self, returns: Iterable[Return]) -> None:
        """Brings claims back to their places, now or as soon as the store can be asked."""
        self._returns.extend(returns)
        self.write()

    def give_back_claim(self, tag: str) -> None:
        """Brings back a claim that could not be made a request."""
        self._end(tag, requeue=True)

    def give_back_unbegun(self) -> None:
        """Brings back all that does not run, as after a lost connection."""
        running = self._running_tags()
        unbegun = [tag for tag in list(self._claims) if tag not in running]
        self.give_back(Return(self._claims.pop(tag)) for tag in unbegun)

    def write(self) -> None:
        """Tells the store what is over; what it cannot be told now stays for the next time."""
        try:
            self._write_done()
            self._write_returns()
        except RatekitError as error:
            logger.warning("rate limits: the backlog cannot be told what is over: %s", error)

    def _write_done(self) -> None:
        done = _taken(self._done)
        by_queue: dict[str, list[bytes]] = {}
        for claim in done:
            by_queue.setdefault(claim.queue, []).append(claim.entry_id)
        try:
            for queue, entries in by_queue.items():
                self._store.finish(queue, self.worker, entries)
        except BaseException:
            self._done.extendleft(reversed(done))
            raise

    def _write_returns(self) -> None:
        returns = _taken(self._returns)
        if not returns:
            return
        try:
            self._store.give_back(self.worker, returns)
        except BaseException:
            self._returns.extendleft(reversed(returns))
            raise

    def _running_tags(self) -> set[str]:
        """The tags of what came from here, runs, and will be heard of when it ends."""
        return {
            request.message.delivery_tag
            for request in _active_requests()
            if self.is_pulled(request) and not getattr(request, "_already_cancelled", False)
        }

    def _end(self, tag: str, requeue: bool) -> None:
        claim = self._claims.pop(tag, None)
        if claim is None:
            return
        if requeue:
            self._returns.append(Return(claim))
        else:
            self._done.append(claim)
        self._on_change()


def _active_requests() -> list[Any]:
    """Celery's own list, of which other threads may take out and put in."""
    requests = (one() for one in tuple(state.active_requests.data))
    return [request for request in requests if request is not None]


def _taken(waiting: deque[Any]) -> list[Any]:
    taken = []
    while waiting:
        taken.append(waiting.popleft())
    return taken
