"""The limiter: asks the core, and answers when Redis does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import BadLimitError, LimiterUnavailableError, RatekitError
from ..limits import Limit
from .amending import (
    amending,
    changes_of_refund,
    changes_of_release,
    changes_of_settle,
    extending,
)
from .ask import Ask
from .breaker import Degradation
from .core import Core, doubles
from .decision import Decision, LimitState, Redemption, Reservations
from .failure import FailurePolicy, policy_named
from .in_turn import acquiring_in_turn, denial_of_group
from .inspecting import inspect_limits
from .keys import KeySpace
from .overrides import OverrideBook, OverrideStore
from .prepared import Limits, Prepared, random_id
from .presence import Presence
from .redeeming import redeem
from .redis_url import RedisClient
from .reserving import reserving
from .resp import pack
from .scripts import DECIDE, FREEZE
from .steps import Command
from .transport import transport_for

__all__ = ["Limiter"]

DEFAULT_NAMESPACE = "ratekit"
DEFAULT_TIMEOUT_SECONDS = 0.5
DEFAULT_HORIZON_SECONDS = 1.0


class Limiter:
    """Asks one Redis whether calls may start.

    ``redis`` is an address (redis://, rediss://, unix://, sentinel://, redis+cluster://; see
    `client_from_url`) or a redis-py client, whose address and credentials are then used over
    connections of the limiter's own. It may be shared by threads and survives a fork.

    - ``redis_options``: keyword arguments for the connections to an address, such as
      ``ssl_ca_certs`` or ``master_name``.
    - ``namespace``: part of every key; limiters of different namespaces never meet.
    - ``hash_keys``: keep limits' keys unreadable in Redis.
    - ``timeout_seconds``: for connecting and for each answer, default 0.5. Nothing is repeated that
      may have been charged.
    - ``on_failure``: what is answered when Redis gives no answer: ``"raise"`` (default)
      LimiterUnavailableError, ``"wait"`` (not granted, ask again), ``"allow"`` (granted), or
      ``"share"`` (this process keeps to rate / limiters last seen).
    - ``follow_overrides``: what is set at run time counts (default): rates, pauses and switches,
      see `celery_ratekit.manager.RateLimitManager`. False: limits are what they were given as.
    - ``clock``: whole microseconds since 1970; for tests only. Default: the Redis server's clock.
    - ``on_degraded``: called with (True, error) when Redis stops answering and (False, None) when
      it answers again.

    >>> from celery_ratekit import TokenBucket
    >>> from celery_ratekit.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     limiter = Limiter(server.url)
    ...     limit = TokenBucket("search", "10/m", burst=2)
    ...     [limiter.acquire(limit).granted for _ in range(3)]
    [True, True, False]
    """

    def __init__(
        self,
        redis: str | RedisClient,
        *,
        redis_options: Mapping[str, Any] | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        hash_keys: bool = False,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        on_failure: str = "raise",
        follow_overrides: bool = True,
        clock: Callable[[], int] | None = None,
        on_degraded: Callable[[bool, BaseException | None], None] | None = None,
    ) -> None:
        transport = transport_for(
            redis, timeout_seconds, Degradation(on_degraded), **(redis_options or {})
        )
        keys = KeySpace(namespace, hash_keys=hash_keys)
        presence = Presence(transport, keys.presence())
        self._policy: FailurePolicy = policy_named(on_failure, presence)
        #: What was set at run time: where it stands, and what this process knows of it.
        self.overrides = OverrideStore(transport, keys, clock=clock)
        self.override_book = OverrideBook(self.overrides)
        self._core = Core(
            transport,
            keys,
            clock=clock,
            presence=presence if on_failure == "share" else None,
            overrides=self.override_book if follow_overrides else None,
        )

    @property
    def keys(self) -> KeySpace:
        """The names of the limiter's keys in Redis."""
        return self._core.keys

    @property
    def core(self) -> Core:
        """What asks Redis, for those who keep a state of their own beside the limits'."""
        return self._core

    # -- deciding ---------------------------------------------------------------------------

    def acquire(self, limits: Limits, *, holder: str | None = None) -> Decision:
        """Whether one call may start now; charges every limit if so, none if not.

        ``holder`` names who takes the places of concurrency limits; default: a random id, which
        the decision carries. Raises CostExceedsCapacityError where waiting would never end.
        """
        core = self._core
        prepared = core.prepared(limits)
        pieces = prepared.pieces
        if pieces is None or core.has_own_clock or holder is not None:
            return self._acquire_unpacked(prepared, holder)
        if len(pieces) == 1:
            packed, holder = pieces[0], ""
        else:
            holder = random_id()
            packed = holder.encode().join(pieces)
        question = prepared.question
        try:
            answer = core.ask(prepared.key, packed, DECIDE)
        except LimiterUnavailableError as error:
            return self._policy.decision(question.limits, error)
        if answer.__class__ is int:
            return Decision(True, question.limits, 0.0, None, "", answer, answer, holder)
        return denial_of_group(question, question.parts, answer)

    def reserve(
        self,
        limits: Limits,
        count: int = 1,
        horizon: float = DEFAULT_HORIZON_SECONDS,
        *,
        owner: str | None = None,
        holder: str | None = None,
        apart: float = math.inf,
    ) -> Reservations:
        """Up to ``count`` starts of equal calls within ``horizon`` seconds, in one round trip.

        With ``owner`` (and a count of 1) the reservation is kept in Redis under an id that
        `redeem` uses up once, for that owner only. Limits that a Redis Cluster keeps on several
        nodes are not promised ahead: what they grant starts now.

        ``apart`` (seconds, default infinite): a start is promised only where the call's limits
        agree on it to within so much, each asked when it alone would let the call start; a place
        says now. So a promise that waits for a slow limit, such as a user's, holds others up on a
        limit that they share by no more than that. Where the limits disagree the denial's reason is
        ``"rate"``, it names the limit that comes last, and ``wait_seconds`` is how long it takes
        until that one is ``apart`` away (or within the horizon, if that is shorter): the others
        then let the call start, so the limits agree.

        The places of several calls are held under one ``holder`` and given back together; calls
        that are to give back a place each are reserved one by one.
        """
        ask = Ask(limits, count, horizon, apart)
        steps = reserving(self._core, self._policy, ask, owner=owner, holder=holder)
        return self._core.finish(steps)

    def reserve_many(self, asks: Sequence[Ask]) -> list[Reservations | RatekitError]:
        """What `reserve` answers to each of many questions, in their order, in one round trip.

        Each is decided on its own, after those before it (one whose schedule has to be sent farther
        ahead: after all others); a denial concerns no other. Each has a holder of its own. A
        question that `reserve` would raise an error for has the error in its place: bad limits, or,
        with the policy ``"raise"``, no answer from Redis. Nodes of a Redis Cluster are asked one
        after the other, with one round trip to each.
        """
        return self._core.finish_all([reserving(self._core, self._policy, ask) for ask in asks])

    def promises_ahead(self, limits: Limits) -> bool:
        """Whether `reserve` can promise starts that lie ahead: not over a cluster's nodes."""
        return self._core.prepared(limits).promises_ahead

    def redeem(self, reservation_id: str, owner: str, limits: Limits, early: float) -> Redemption:
        """Uses up a reservation at its start; see Redemption for what can have become of it.

        ``early``: how many seconds before its start it may be used. Raises
        LimiterUnavailableError where Redis gives no answer.
        """
        return redeem(self._core, self._core.prepared(limits), reservation_id, owner, early)

    # -- afterwards -------------------------------------------------------------------------

    def refund(self, decision: Decision) -> None:
        """Gives back all that a granted call was charged, and its places.

        A window takes back only what still counts in it; a bucket never holds more than its
        capacity, nor lets a start come too near to one that is already promised.
        """
        self._core.finish(amending(self._core, decision, changes_of_refund(decision)))

    def settle(self, decision: Decision, actual_cost: float, limit: Limit | None = None) -> None:
        """Corrects what a granted call was charged to what it really took of ``limit``.

        ``limit`` may be left out where the call has only one. Taking more than was granted leaves
        a debt of at most one capacity, which is paid before the next grant.
        """
        changes = changes_of_settle(decision, actual_cost, limit)
        self._core.finish(amending(self._core, decision, changes))

    def release(self, decision: Decision) -> None:
        """Gives back the places of concurrency limits; other limits stay charged."""
        self._core.finish(amending(self._core, decision, changes_of_release(decision)))

    def extend(self, decision: Decision) -> bool:
        """Extends the lease of the call's places from now; False if one was lost meanwhile."""
        return self._core.finish(extending(self._core, decision))

    def refund_many(self, decisions: Sequence[Decision]) -> list[RatekitError | None]:
        """`refund` for many calls in one round trip; None for each, or the error that it met."""
        core = self._core
        return core.finish_all([amending(core, one, changes_of_refund(one)) for one in decisions])

    def release_many(self, decisions: Sequence[Decision]) -> list[RatekitError | None]:
        """`release` for many calls in one round trip; None for each, or the error that it met."""
        core = self._core
        return core.finish_all([amending(core, one, changes_of_release(one)) for one in decisions])

    def extend_many(self, decisions: Sequence[Decision]) -> list[bool | RatekitError]:
        """`extend` for many calls, in one round trip for one place limit of each.

        For each call whether it still held its places, or the error that `extend` would raise.
        """
        return self._core.finish_all([extending(self._core, one) for one in decisions])

    # -- looking and changing ---------------------------------------------------------------

    def inspect(self, limits: Limits) -> list[LimitState]:
        """What each limit holds now and how long a call of its cost would wait; changes nothing."""
        return inspect_limits(self._core, self._core.prepared(limits))

    def freeze(self, limit: Limit, seconds: float) -> float:
        """No grants for ``limit`` and its key (for all its keys where it has none) for a time.

        Returns the seconds that it is frozen from now: a longer freeze stays. 0 ends a freeze.
        """
        if not 0 <= seconds < math.inf:
            raise BadLimitError(
                f"expected 0 or more seconds to freeze {limit.shown_name!r}, got {seconds!r:.40}"
            )
        key = self.keys.freeze(limit).encode()
        left = self._core.run(FREEZE, [key], [doubles(self._core.clock_us(), seconds * 1e6)])
        return float(left) / 1e6

    def mark(self, limits: Iterable[Limit], seconds: float) -> None:
        """Says for a time that calls wait for each of these limits and keys in a backlog.

        Questions that yield (`Ask.yields`) are denied meanwhile, with the reason ``"queued"``; no
        other is concerned. Raises LimiterUnavailableError where Redis gives no answer.
        """
        milliseconds = b"%d" % max(1, math.ceil(seconds * 1000))
        keys = {self.keys.mark(limit).encode(): None for limit in limits}
        commands = [
            Command(key, pack((b"SET", key, b"1", b"PX", milliseconds)), None) for key in keys
        ]
        for answer in self._core.ask_many(commands):
            if isinstance(answer, Exception):
                raise answer

    def reset(self, limit: Limit) -> None:
        """Forgets all that is counted for ``limit`` and its key, and its freeze."""
        key = self.keys.state(limit).encode()
        freeze = self.keys.freeze(limit).encode()
        self._core.ask(key, pack((b"DEL", key, freeze)), None)

    def close(self) -> None:
        """Closes the limiter's idle connections; it opens new ones where it is used again."""
        self._core.close()

    # -- how it asks ------------------------------------------------------------------------

    def _acquire_unpacked(self, prepared: Prepared, holder: str | None) -> Decision:
        question = prepared.question
        if not question.limits:
            return Decision(True, (), holder=holder or "")
        if question.paused is not None:
            return Decision(False, question.limits, math.inf, question.paused, "paused")
        holder = holder or random_id()
        try:
            return self._core.finish(acquiring_in_turn(self._core, prepared, holder))
        except LimiterUnavailableError as error:
            return self._policy.decision(question.limits, error)
