"""What is answered when Redis gives no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import BadOptionError, LimiterUnavailableError, did_you_mean
from ..limits import Limit
from .decision import Decision, Reservations
from .share import LocalShare

if TYPE_CHECKING:
    from .presence import Presence

__all__ = ["ON_FAILURE", "FailurePolicy", "policy_named", "reservations_by", "unavailable"]

ASK_AGAIN_SECONDS = 0.5


def unavailable(limits: tuple[Limit, ...]) -> Decision:
    """Not granted, because Redis gives no answer."""
    return Decision(False, limits, ASK_AGAIN_SECONDS, limits[0], "unavailable", degraded=True)


class FailurePolicy(Protocol):
    """Decides in the core's place; whatever it grants is marked as degraded."""

    def decision(self, limits: tuple[Limit, ...], error: LimiterUnavailableError) -> Decision:
        """Whether one call may start now."""
        ...


class Raise:
    """Leaves it to the caller."""

    def decision(self, limits: tuple[Limit, ...], error: LimiterUnavailableError) -> Decision:
        raise error


class Wait:
    """Grants nothing until Redis answers again."""

    def decision(self, limits: tuple[Limit, ...], error: LimiterUnavailableError) -> Decision:
        return unavailable(limits)


class Allow:
    """Grants everything: limits do not hold while Redis is away."""

    def decision(self, limits: tuple[Limit, ...], error: LimiterUnavailableError) -> Decision:
        return Decision(True, limits, degraded=True)


class Share:
    """Keeps this process to an equal share of each rate."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._local = LocalShare()

    def decision(self, limits: tuple[Limit, ...], error: LimiterUnavailableError) -> Decision:
        wait, blocked_by = self._local.acquire(limits, self._presence.seen)
        if blocked_by is None:
            return Decision(True, limits, degraded=True)
        return Decision(False, limits, wait, blocked_by, "unavailable", degraded=True)


ON_FAILURE = ("raise", "wait", "allow", "share")


def policy_named(name: str, presence: Presence) -> FailurePolicy:
    """The policy for one of ON_FAILURE; raises BadOptionError for anything else."""
    if name == "share":
        return Share(presence)
    policies: dict[str, type[Raise | Wait | Allow]] = {
        "raise": Raise,
        "wait": Wait,
        "allow": Allow,
    }
    if name not in policies:
        raise BadOptionError(
            f"expected one of {', '.join(map(repr, ON_FAILURE))} for what happens when Redis is "
            f"away, got {name!r:.40}{did_you_mean(str(name)[:40], ON_FAILURE)}"
        )
    return policies[name]()


def reservations_by(
    policy: FailurePolicy, limits: tuple[Limit, ...], count: int, error: LimiterUnavailableError
) -> Reservations:
    """As many calls as the policy lets start now, each decided for itself."""
    granted: list[Decision] = []
    for _ in range(count):
        decision = policy.decision(limits, error)
        if not decision:
            return Reservations.denied(decision, after=granted)
        granted.append(decision)
    return Reservations.in_turn(granted)
