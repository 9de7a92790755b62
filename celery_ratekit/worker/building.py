"""Puts together the gate of a consumer, with what its pool, its loop and its settings need."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from ..limiter import Limiter
from ..limiter.prepared import random_id
from ..tasks.runtime import Runtime
from .backlog.backlogging import Backlogging
from .backlog.link import Link
from .backlog.liveness import Liveness
from .backlog.marker import Marker
from .backlog.parking import Parker
from .backlog.pulled import ClaimBook
from .backlog.pulling import Puller
from .doorbell import Doorbell
from .gate.alarm import alarm_for, runs_in_loop
from .gate.apart import apart_of
from .gate.asking import Asking
from .gate.gate import Gate
from .gate.overflow import Hold, Overflow
from .gate.pool_memory import memory_of
from .gate.resending import Resender, longest_hold_seconds
from .gate.slots import slots_of
from .observing.events import Announcer
from .remote.override_watch import OverrideWatch

__all__ = ["make_gate"]


def make_gate(consumer: Any, runtime: Runtime) -> tuple[Gate, OverrideWatch, Doorbell]:
    """The gate of a consumer, what keeps it up to date, and what that rings at."""

    def limiter() -> Limiter:
        watch.begin()
        return runtime.limiter

    overflow = make_overflow(consumer, runtime, limiter, lambda: gate.poke())  # noqa: PLW0108 - there is no gate yet

    def wake(names: Collection[str] | None) -> None:
        runtime.queues.look_again()
        if names is None or names:
            gate.forget_denials()
        overflow.wake(names)
        doorbell.ring()

    watch = OverrideWatch(runtime, lambda: runtime.book.declared(consumer.app), wake)

    apart = apart_of(consumer.pool)
    gate = Gate(
        longest_hold_seconds=longest_hold_seconds(consumer.app, runtime.settings.max_reschedule),
        resend=Resender(consumer.call_soon).resend,
        asking=Asking(limiter, time.monotonic, Announcer(consumer).announce),
        slots=slots_of(consumer.controller),
        overflow=overflow,
        memory=memory_of(consumer.pool),
        make_alarm=partial(alarm_for, consumer),
        soon=consumer.hub.call_soon if runs_in_loop(consumer) else apart,
        apart=apart,
    )
    doorbell = Doorbell(consumer, gate.poke)
    return gate, watch, doorbell


def make_overflow(
    consumer: Any,
    runtime: Runtime,
    limiter: Callable[[], Limiter],
    poke: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> Overflow:
    """The way into the backlog and back; ``poke`` has the gate take a turn soon."""
    if runtime.settings.redis_url is None:
        return Hold()  # What needs a Redis will say that there is none.
    store, worker = runtime.backlog, f"{consumer.hostname}:{random_id()}"
    link = Link(consumer, runtime)
    book = ClaimBook(store, worker, poke)
    marker = Marker(limiter, clock)
    return Backlogging(
        store,
        link=link,
        book=book,
        liveness=Liveness(store, worker),
        marker=marker,
        parker=Parker(store, marker, link.queue_of, runtime.settings.max_backlog),
        puller=Puller(store, book, link, clock),
        on_use=limiter,
        clock=clock,
    )
