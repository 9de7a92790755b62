"""How a rate follows a service that says only "too many requests": pure arithmetic, no I/O.

    state = throttled(None, bounds, now_us=..., granted_us=..., freeze_seconds=1)  # a 429
    state = succeeded(state, bounds, now_us=..., count=20)        # calls that were answered
    rate_of(state, bounds)                                        # per second

A 429 lowers the rate multiplicatively, successes raise it by small additions, and the rate at which
the last 429 came is remembered: the climb is fast far below it, nearly level near it, and gathers
speed once it is passed. So the rate stays near what the service takes, and touches it seldom.

The methods that it follows:

- AIMD, additive increase and multiplicative decrease, of TCP (Chiu and Jain 1989; RFC 5681) and of
  ``AIMDLimit`` in Netflix' concurrency-limits: from there, too, that only a limit that is in use
  is raised, and that a decrease may be small (0.9 there).
- CUBIC (RFC 9438), which botocore's adaptive retry mode applies to a token bucket: the remembered
  maximum, the cubic climb around it, the decrease to 0.7, and remembering a little less than the
  rate that failed ("fast convergence").

What differs: all is relative to the rate, so that one law serves 1/h and 10,000/s; time is counted
in work done, so that calls rather than hours raise the rate; and the decrease is gentle after a
rate that has worked for a while, since then the limit was only just touched.

`celery_ratekit/adaptive/lua/learn.lua` is the same law in Redis; a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = [
    "Bounds",
    "Learned",
    "is_settled",
    "rate_of",
    "succeeded",
    "throttled",
]

GENTLE = 0.95
"""What is left of a rate that had worked for a while before a 429 came."""

HARSHEST = 0.65
"""The least that is left of a rate. A 429 soon after the last one squares the factor, down to this:
0.95, 0.9, 0.81, 0.66, 0.65. So what is far too high is left in a few steps, and what was only
touched twice is hardly lowered."""

REMEMBERED = 0.98
"""How much of the rate that failed the climb aims at: so the level part lies just below it."""

SOON_SECONDS = 4.0
SOON_STARTS = 10.0
"""How long a rate must have worked, in seconds and in starts, to be lowered gently again."""

CLIMB_SECONDS = 20.0
CLIMB_STARTS = 50.0
"""How long the climb back to the remembered rate takes at full use, at least, in seconds and in
starts. The starts make climbs longer at rates of less than 150 a minute."""

CLIMB_FREEZES = 20.0
MOST_FREEZE_SECONDS = 60.0
"""How many times as long as a refusal freezes the limit the climb takes, so that time lost to
refusals stays near 5 %; a freeze counts as a minute at most."""

PROBE_SHARE = 0.1
"""How far, as a share of it, the rate has gone past the remembered one after one more climb."""

ROUND_US = 3_000_000.0
"""A 429 of a call that was granted less than this after the rate was lowered says nothing new:
other workers learn of the rate within 2 s, and have promised starts for up to 1 s ahead."""

COUNTING_US = 2_000_000.0
"""For how long successes are counted before they raise the rate, at least."""

COUNTING_STARTS = 10.0
"""How many starts the rate allows while successes are counted, at least."""

USED_SHARE = 0.5
"""How much of the rate must be in use to raise it: what nobody uses proves nothing."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a rate starts and what it never leaves, per second: least <= start <= most."""

    start_per_second: float
    least_per_second: float
    most_per_second: float


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of a service; where nothing is, None takes its place."""

    #: The rate after it was last lowered, where the climb begins.
    low_per_second: float
    #: The remembered rate, around which the climb is level.
    known_per_second: float
    #: How long the rate has been in use since it was lowered: starts that went well, each as long
    #: as the rate spaces them.
    worked_seconds: float
    #: How long the climb back to the remembered rate takes at full use.
    climb_seconds: float
    #: By which factor it was last lowered; 1: never.
    factor: float
    #: When it was last lowered, us since 1970; 0: never.
    lowered_at_us: float
    #: Since when successes are being counted, and how many there were.
    counted_since_us: float
    counted: float


def rate_of(learned: Learned | None, bounds: Bounds) -> float:
    """The rate now, per second, within its bounds."""
    if learned is None:
        return bounds.start_per_second
    climbed = learned.worked_seconds / learned.climb_seconds - 1
    cube = climbed * climbed * climbed
    if climbed < 0:
        rate = learned.known_per_second
        rate += (learned.known_per_second - learned.low_per_second) * cube
    else:
        rate = learned.known_per_second * (1 + PROBE_SHARE * cube)
    return min(bounds.most_per_second, max(bounds.least_per_second, rate))


def throttled(
    learned: Learned | None,
    bounds: Bounds,
    *,
    now_us: float,
    granted_us: float,
    freeze_seconds: float,
) -> Learned:
    """What is known after a 429 to a call that was granted at ``granted_us``.

    Many calls that meet one overload lower the rate once. ``freeze_seconds`` is for how long no
    call starts because of it.
    """
    before = _begun(learned, bounds, now_us)
    if before.lowered_at_us and min(granted_us, now_us) < before.lowered_at_us + ROUND_US:
        return before
    rate = rate_of(before, bounds)
    factor = GENTLE
    if before.worked_seconds < max(SOON_SECONDS, SOON_STARTS / rate):
        factor = max(HARSHEST, before.factor * before.factor)
    low = max(bounds.least_per_second, rate * factor)
    known = max(low, rate * REMEMBERED)
    climb = max(_climb_seconds(known), CLIMB_FREEZES * min(freeze_seconds, MOST_FREEZE_SECONDS))
    return Learned(low, known, 0.0, climb, factor, now_us, now_us, 0.0)


def succeeded(learned: Learned | None, bounds: Bounds, *, now_us: float, count: float) -> Learned:
    """What is known after ``count`` further calls that the service answered."""
    before = _begun(learned, bounds, now_us)
    counted = before.counted + count
    rate = rate_of(before, bounds)
    span_us = now_us - before.counted_since_us
    if span_us < max(COUNTING_US, COUNTING_STARTS * 1e6 / rate):
        return replace(before, counted=counted)
    used_seconds, span_seconds = counted / rate, span_us / 1e6
    worked = before.worked_seconds
    if used_seconds >= USED_SHARE * span_seconds:
        worked += min(used_seconds, span_seconds)
    after = replace(before, worked_seconds=worked, counted_since_us=now_us, counted=0.0)
    if rate_of(after, bounds) < bounds.most_per_second:
        return after
    # What was climbed beyond the ceiling would only delay the next descent.
    return replace(_untried(bounds.most_per_second, now_us), lowered_at_us=before.lowered_at_us)


def is_settled(learned: Learned, bounds: Bounds) -> bool:
    """Whether nothing is known that would not hold without it."""
    most = bounds.most_per_second
    return bounds.start_per_second == most and rate_of(learned, bounds) >= most


def _begun(learned: Learned | None, bounds: Bounds, now_us: float) -> Learned:
    """What is known, with no moment in the future: a clock may have stepped back."""
    if learned is None:
        return _untried(bounds.start_per_second, now_us)
    return replace(
        learned,
        lowered_at_us=min(learned.lowered_at_us, now_us),
        counted_since_us=min(learned.counted_since_us, now_us),
    )


def _untried(rate: float, now_us: float) -> Learned:
    """A rate that nothing is known about: it is raised slowly at first, and lowered gently."""
    climb = _climb_seconds(rate)
    return Learned(rate, rate, climb, climb, 1.0, 0.0, now_us, 0.0)


def _climb_seconds(rate: float) -> float:
    return max(CLIMB_SECONDS, CLIMB_STARTS / rate)
