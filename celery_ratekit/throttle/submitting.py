"""Brings tasks to a throttled queue: what may start is sent now, the rest waits in the backlog."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from celery.canvas import Signature

from ..backlog import Group, Parking
from ..errors import BadOptionError, LimiterUnavailableError, QueueNotFound, RatekitError
from ..limiter import Limiter
from ..limiter.ask import Ask
from ..limiter.decision import Decision, Reservations
from ..limits import Limit
from ..queues import QUEUE_HEADER, QueueRecord
from ..queues.places import OBEYS_NONE
from ..queues.ranks import rank_in_queue
from ..queues.store import QueueStore
from ..tasks.call import Call
from ..tasks.runtime import Runtime
from .capture import Captured, capturing

__all__ = ["Submitter"]

MARK_SECONDS = 2.0
"""How long newcomers know that others wait, until a worker or a dispatcher says so itself."""

LONGEST_WAIT_SECONDS = 60.0
"""When a paused queue is asked for again, should nobody tell that it is not any more."""

IDENTITY = bytes(8)


class Submitter:
    """Submits to the queues of one prefix, through one app."""

    def __init__(self, app: Any, runtime: Runtime, prefix: str) -> None:
        self._app = app
        self._runtime = runtime
        self._prefix = prefix

    @property
    def _limiter(self) -> Limiter:
        return self._runtime.limiter

    @property
    def _store(self) -> QueueStore:
        return self._runtime.queues.view(self._prefix).store

    def submit(self, name: str, signatures: Sequence[Signature]) -> tuple[list[Any], int]:
        """The results of signatures, and how many of their messages were sent now.

        Raises QueueNotFound, LimiterUnavailableError where Redis gives no answer, and kombu's
        OperationalError where the broker takes no message; those that it did not take, and those
        that would have waited behind them, were not submitted then.
        """
        record = self._record(name)
        captured: list[Captured] = []
        results = [self._capture(record, signature, captured) for signature in signatures]
        if not captured:
            return results, len(results)  # Eager mode has run them.
        sent = self._bring(record, [one for one in captured if one.task != OBEYS_NONE])
        self._publish([one for one in captured if one.task == OBEYS_NONE])
        return results, sent

    def _record(self, name: str) -> QueueRecord:
        """The queue as it is now; from here on it does not expire for an hour."""
        view = self._runtime.queues.view(self._prefix)
        (answer,) = self._store.ask_all([self._store.touching(name)])
        record = self._store.read(name, answer)
        if record is None:
            raise QueueNotFound(name, self._prefix)
        view.learn(record)
        return record

    # -- messages ---------------------------------------------------------------------------

    def _capture(self, record: QueueRecord, signature: Signature, into: list[Captured]) -> Any:
        """The signature's result; its messages as Celery would publish them now."""
        stamped = signature.clone()
        _address(stamped, record)
        with capturing(self._app) as captured:
            result = stamped.apply_async()
        for one in captured:
            if one.headers.get("eta") and one.task != OBEYS_NONE:
                raise BadOptionError(
                    f"expected a task without ETA or countdown for the throttled queue "
                    f"{record.place.name!r:.60}, got {one.task!r:.60}; its start is for the queue "
                    "to say: submit it when it may start"
                )
        into += captured
        return result

    # -- what becomes of them ---------------------------------------------------------------

    def _bring(self, record: QueueRecord, captured: Sequence[Captured]) -> int:
        is_first = not self._runtime.backlog.waiting_for(record.target, record.place.limit_name)
        reserved = self._reserve(record, len(captured)) if is_first else _behind(record.limit)
        now, later = captured[: reserved.granted], captured[reserved.granted :]
        if now:  # First: these go before those that wait.
            self._send(record, now, reserved)
        if later:
            self._park(record, later, reserved)
            if is_first:
                self._tell(record.limit)
        return len(now)

    def _reserve(self, record: QueueRecord, count: int) -> Reservations:
        """How many may start now, before whom nobody waits."""
        ask = Ask(record.limit, count, 0.0, math.inf, yields=True)
        (answer,) = self._limiter.reserve_many([ask])
        if isinstance(answer, RatekitError):
            raise answer
        return answer

    def _send(
        self, record: QueueRecord, captured: Sequence[Captured], reserved: Reservations
    ) -> None:
        ids = [one.task_id for one in captured]
        charged_us = reserved.asked_us or None
        self._open(record, self._store.opening(record.place.name, ids, charged_us))
        sent: list[Captured] = []
        try:
            self._publish(captured, sent)
        except BaseException:
            self._take_back(record, captured[len(sent) :], reserved, len(sent))
            raise

    def _publish(self, captured: Sequence[Captured], sent: list[Captured] | None = None) -> None:
        """Brings messages to the broker; each that it has stands in ``sent``."""
        if not captured:
            return
        policy = dict(self._app.conf.task_publish_retry_policy or {})
        with self._app.producer_pool.acquire(block=True) as producer:
            for one in captured:
                one.publish(producer, policy)
                if sent is not None:
                    sent.append(one)

    def _take_back(
        self, record: QueueRecord, unsent: Sequence[Captured], reserved: Reservations, sent: int
    ) -> None:
        """What the broker did not take was never submitted; its caller is told so."""
        for index, one in enumerate(unsent, sent):
            self._store.close(record.place.name, one.task_id)
            self._limiter.refund(reserved.decision(index))

    def _park(
        self, record: QueueRecord, captured: Sequence[Captured], reserved: Reservations
    ) -> None:
        wait = min(reserved.wait_seconds, LONGEST_WAIT_SECONDS)
        parkings = [self._parking(record, one, wait, reserved.asked_us) for one in captured]
        name = record.place.name
        self._open(record, self._store.opening(name, [one.task_id for one in captured]))
        try:
            stored = self._runtime.backlog.park(parkings)
        except RatekitError as error:
            if not getattr(error, "maybe_charged", False):
                self._close(name, captured)
            raise
        lost = [one for one, is_stored in zip(captured, stored, strict=True) if not is_stored]
        if lost:
            self._close(name, lost)
            raise LimiterUnavailableError(
                f"expected {len(captured)} tasks to be stored, got {len(captured) - len(lost)}; "
                "submit the others again"
            )

    def _parking(self, record: QueueRecord, one: Captured, wait: float, asked_us: int) -> Parking:
        return Parking(
            group=Group(record.target, one.task, self._limits(record, one)),
            task_id=one.task_id,
            identity=IDENTITY,
            may_be_stored=False,
            rank=self._rank(one.priority),
            message=one.packed(),
            blocked_by=record.limit,
            wait_seconds=wait,
            asked_us=asked_us,
        )

    def _limits(self, record: QueueRecord, one: Captured) -> tuple[Limit, ...]:
        """What the task waits for: its queue's limit, and its own where it is known here."""
        task = self._app.tasks.get(one.task)
        if task is None:
            return (record.limit,)
        args, kwargs, *_ = one.content
        call = Call(one.task, task.run, args, kwargs, one.task_id)
        enforced = self._runtime.book.plan(task).limits(call, None, record.place.header).enforced
        return enforced or (record.limit,)

    def _rank(self, priority: int) -> int:
        """Which goes first inside of the queue: 0 before 255; brokers count differently."""
        return rank_in_queue(priority, lowest_first=self._lowest_first, was_sent=False)

    @cached_property
    def _lowest_first(self) -> bool:
        """Whether the broker takes 0 for the highest priority, as kombu's Redis does."""
        with self._app.connection_for_write() as connection:
            channel = getattr(connection.get_transport_cls(), "Channel", None)
        return getattr(channel, "priority_steps", None) is not None

    def _open(self, record: QueueRecord, commands: Sequence[Any]) -> None:
        if 0 in self._store.ask_all(commands):
            raise QueueNotFound(record.place.name, self._prefix)

    def _close(self, name: str, captured: Iterable[Captured]) -> None:
        for one in captured:
            self._store.close(name, one.task_id)

    def _tell(self, limit: Limit) -> None:
        """Has workers and dispatchers look: nobody waited for this limit before."""
        self._limiter.mark([limit], MARK_SECONDS)
        self._limiter.overrides.tell([])  # No name: nothing is worth asking before its time.


def _behind(limit: Limit) -> Reservations:
    """What is said to newcomers while others wait."""
    return Reservations.denied(Decision(False, (limit,), 0.0, limit, "queued"))


def _address(signature: Signature, record: QueueRecord) -> None:
    """Has every task of a signature carry the queue's header, and go to its target."""
    for task in _tasks_of(signature):
        headers = {**(task.options.get("headers") or {}), QUEUE_HEADER: record.place.header}
        for option in ("exchange", "routing_key"):
            task.options.pop(option, None)
        task.set(headers=headers, queue=record.target)


def _tasks_of(signature: Any) -> list[Any]:
    """The tasks that a signature is made of, also inside of chains, groups and chords."""
    parts: list[Any] = list(getattr(signature, "tasks", None) or [])
    body = getattr(signature, "body", None)
    if body is not None:
        parts.append(body)
    if not parts:
        return [signature]
    return [task for part in parts for task in _tasks_of(part)]
