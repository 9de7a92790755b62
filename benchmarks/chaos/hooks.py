"""Notes what a worker has of each task, and lets it be killed in between.

Nothing in the package knows of this: methods are wrapped from here, in the workers of a run only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from kombu.message import Message

from celery_ratekit.backlog import Backlog
from celery_ratekit.worker.backlog import liveness, pulling
from celery_ratekit.worker.backlog.backlogging import Backlogging
from celery_ratekit.worker.backlog.parking import Parker
from celery_ratekit.worker.backlog.pulled import ClaimBook, PulledChannel
from celery_ratekit.worker.backlog.pulling import Puller
from celery_ratekit.worker.gate.held import Origin
from celery_ratekit.worker.gate.running import Running

from .book import Book
from .killing import Killer
from .plan import Step

__all__ = ["install"]

GONE_AFTER_SECONDS = 6.0
"""Far longer than a busy machine holds up the thread that says that a worker lives."""

Method = Callable[..., Any]


def install(book: Book, killer: Killer) -> None:
    """Wraps what a worker does between its steps; to be called before it forks."""
    _shorten_waits()
    _Hooks(book, killer).install()


def _shorten_waits() -> None:
    """A dead worker is noticed in seconds, or a run would be mostly waiting."""
    liveness.GONE_AFTER_SECONDS, liveness.BEAT_SECONDS = GONE_AFTER_SECONDS, 1.0
    pulling.SWEEP_SECONDS = 1.0


class _Hooks:
    def __init__(self, book: Book, killer: Killer) -> None:
        self._book = book
        self._killer = killer
        self._parked: set[str] = set()  # and not acknowledged
        self._claimed: dict[bytes, str] = {}  # entry -> task id

    def install(self) -> None:
        _wrap(Backlogging, "origin_of", self._origin_of)
        _wrap(Backlogging, "close", self._close)
        _wrap(Backlog, "park", self._park)
        _wrap(Parker, "_tell", self._tell)
        _wrap(Message, "ack", self._ack)
        _wrap(ClaimBook, "receive", self._receive)
        _wrap(Puller, "_deliver", self._deliver)
        _wrap(Running, "run", self._run)
        _wrap(ClaimBook, "_end", self._end)
        _wrap(Backlog, "finish", self._finish)
        _wrap(Backlog, "give_back", self._give_back)

    # -- from the broker --------------------------------------------------------------------

    def _origin_of(self, call: Method, _: Any, request: Any) -> Origin:
        origin: Origin = call(request)
        self._book.note("got", request.id, "claim" if origin is Origin.PULLED else "message")
        return origin

    def _close(self, call: Method, _: Any) -> None:
        call()
        self._book.note("closed")  # The broker delivers again what it was not told of.

    def _park(self, call: Method, _: Any, parkings: Any, **options: Any) -> Any:
        self._killer.passing(Step.RECEIVE_STORE)
        return call(parkings, **options)

    def _tell(self, call: Method, _: Any, parked: Any, line: Any) -> None:
        for held in parked:
            self._parked.add(held.request.id)
            self._book.note("parked", held.request.id)
        if parked:
            self._killer.passing(Step.STORE_ACK)
        call(parked, line)

    def _ack(self, call: Method, message: Any, *args: Any, **options: Any) -> None:
        task_id = (message.headers or {}).get("id", "-")
        if isinstance(message.channel, PulledChannel):
            call(*args, **options)  # `_finish` hears of it.
            return
        is_parked = task_id in self._parked
        self._killer.passing(Step.STORE_ACK if is_parked else Step.END_REMOVAL, task_id)
        call(*args, **options)
        self._parked.discard(task_id)
        self._book.note("over", task_id, "message")

    # -- from the backlog -------------------------------------------------------------------

    def _deliver(self, call: Method, _: Any, claims: Any) -> Any:
        if claims:
            self._killer.passing(Step.CLAIM_START)
        return call(claims)

    def _receive(self, call: Method, book: Any, request: Any) -> None:
        call(request)
        claim = book.claim_of(request)
        if claim is not None:
            self._claimed[claim.entry_id] = request.id

    def _run(self, call: Method, _: Any, request: Any) -> None:
        if isinstance(request.message.channel, PulledChannel):
            self._killer.passing(Step.CLAIM_START, request.id)
        self._book.note("handed", request.id)
        call(request)

    def _end(self, call: Method, _: Any, tag: str, requeue: bool) -> None:
        call(tag, requeue)
        if not requeue:
            self._killer.passing(Step.END_REMOVAL)

    def _finish(self, call: Method, _: Any, queue: str, worker: str, entry_ids: Any) -> Any:
        self._killer.passing(Step.END_REMOVAL)
        done = call(queue, worker, entry_ids)
        self._note_over(entry_ids)
        return done

    def _give_back(self, call: Method, _: Any, worker: str, returns: Any) -> None:
        call(worker, returns)
        self._note_over([one.claim.entry_id for one in returns])

    def _note_over(self, entry_ids: Any) -> None:
        for entry in entry_ids:
            task_id = self._claimed.pop(entry, None)
            if task_id is not None:
                self._book.note("over", task_id, "claim")


def _wrap(owner: type, name: str, around: Method) -> None:
    """Calls ``around(call, self, ...)`` instead of a method; ``call`` is the method, bound.

    Raises TypeError where the method does not take any more what ``around`` passes on: in the
    middle of a run it would look like a fault of the method's own.
    """
    method = getattr(owner, name)
    _check_fits(method, around)

    @wraps(method)
    def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        return around(method.__get__(self), self, *args, **options)

    setattr(owner, name, wrapped)


def _check_fits(method: Method, around: Method) -> None:
    parameters = inspect.signature(method).parameters.values()
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    by_place = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    inspect.signature(around).bind("call", *by_place, **dict.fromkeys(by_name))
