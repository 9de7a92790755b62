"""The rows: who is measured against whom, and which ratio is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, field

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, Limit, SlidingWindow, TokenBucket

from .figures import Figure, Target, at_least
from .ours import (
    bare_evalsha,
    bucket,
    concurrency,
    denied,
    drained,
    granted,
    noop,
    reserved,
    window,
)
from .pairing import Pair, ratios, spread
from .peers import peers
from .placement import APART, TOGETHER
from .timing import Contender

__all__ = ["PEERS", "Row", "all_rows", "fastest_peer"]

PEERS = "Against other limiters"


@dataclass(slots=True)
class Row:
    """Two contenders, and the times they took so far."""

    group: str
    subject: Contender
    reference: Contender
    target: Target | None = None
    placement: str = APART
    pairs: list[Pair] = field(default_factory=list)

    def figure(self, *, judged: bool) -> Figure:
        """How many times faster than the reference the subject is."""
        times = [pair.subject * 1e6 for pair in self.pairs]
        return Figure(
            self.group,
            self.subject.name,
            self.reference.name,
            spread(ratios(self.pairs)),
            microseconds=spread(times).median,
            target=self.target,
            judged=judged,
        )


def all_rows(server: EmbeddedRedis, limiter: Limiter) -> list[Row]:
    """Every row of the table, in its order."""
    single = [bucket("single")]
    decision = granted(limiter, "token bucket", *single)
    nothing = noop(limiter, single)
    rows = [
        Row("A decision", nothing, nothing),
        Row("A decision", decision, nothing, at_least(0.85)),
        Row("A decision", decision, bare_evalsha(server.client(), limiter, single), at_least(1.2)),
    ]
    rows += [Row("Granted, by kind", each, nothing) for each in _granted(limiter)]
    rows += [Row("Denied, by kind", each, nothing) for each in _denied(limiter)]
    rows += _several(limiter, nothing)
    rows += [
        Row("Reserved ahead, per decision", reserved(limiter, single[0], 10), decision),
        Row(
            "Reserved ahead, per decision",
            reserved(limiter, single[0], 100),
            decision,
            at_least(50),
        ),
        Row(
            "Reserved ahead, per decision",
            reserved(limiter, single[0], 1_000),
            decision,
            at_least(200),
        ),
        Row(
            "Reserved ahead, per decision", reserved(limiter, single[0], 1_000, read=True), decision
        ),
    ]
    others = [Row(PEERS, decision, peer) for peer in peers(server)]
    return rows + _on_one_core(rows) + others


def _on_one_core(rows: list[Row]) -> list[Row]:
    """The rows with a target once more, for comparison: without a core to wake up."""
    return [
        Row(f"{row.group}, on one core", row.subject, row.reference, placement=TOGETHER)
        for row in rows
        if row.target is not None
    ]


def _granted(limiter: Limiter) -> list[Contender]:
    return [
        granted(limiter, "token bucket with a key", bucket("keyed", key="user 7")),
        granted(limiter, "fixed window", window("fixed", 1_000_000, sliding=False)),
        granted(limiter, "sliding window of 1,000", window("sliding 1", 1_000, sliding=True)),
        granted(limiter, "sliding window of 10,000", window("sliding 10", 10_000, sliding=True)),
        granted(limiter, "concurrency", concurrency("places")),
    ]


def _denied(limiter: Limiter) -> list[Contender]:
    limits: list[tuple[str, Limit]] = [
        ("token bucket, empty", TokenBucket("empty", "1/h")),
        ("sliding window of 1,000, full", SlidingWindow("full 1", "1000/h")),
        ("sliding window of 10,000, full", SlidingWindow("full 10", "10000/h")),
        ("concurrency, all places taken", Concurrency("taken", 100, lease_seconds=3_600)),
    ]
    return [denied(limiter, name, drained(limiter, limit)) for name, limit in limits]


def _several(limiter: Limiter, nothing: Contender) -> list[Row]:
    group = "Several limits in one call"
    three = [bucket("global"), bucket("tenant", key="tenant 7"), bucket("user", key="user 7")]
    empty = drained(limiter, TokenBucket("empty too", "1/h"))
    mixed = [bucket("mixed"), window("mixed", 1_000, sliding=True), concurrency("mixed")]
    buckets = granted(limiter, "three token buckets", *three)
    return [
        Row(group, granted(limiter, "two token buckets", *three[:2]), nothing),
        Row(group, buckets, nothing, at_least(0.75)),
        Row(group, buckets, noop(limiter, three, "no-op with as many keys")),
        Row(group, denied(limiter, "three token buckets, one empty", *three[1:], empty), nothing),
        Row(group, granted(limiter, "bucket, sliding window, place", *mixed), nothing),
    ]


def fastest_peer(rows: list[Row], *, judged: bool) -> Figure | None:
    """The ratio to the fastest algorithm of all peers; None where no peer is installed."""
    figures = [row.figure(judged=judged) for row in rows if row.group == PEERS]
    if not figures:
        return None
    closest = min(figures, key=lambda figure: figure.spread.median)
    return Figure(
        PEERS,
        closest.name,
        f"the fastest: {closest.against}",
        closest.spread,
        microseconds=closest.microseconds,
        target=at_least(1.3),
        judged=judged,
    )
