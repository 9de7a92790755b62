"""Reservations that are kept in Redis under an id, and used up once."""

from __future__ import annotations

from .core import Core, doubles
from .decision import Redemption
from .prepared import Prepared
from .scripts import REDEEM

__all__ = ["redeem"]


def redeem(
    core: Core, prepared: Prepared, reservation_id: str, owner: str, early: float
) -> Redemption:
    """Uses up a reservation of the question's limits for its owner; see Redemption."""
    question = prepared.question
    if not question.limits:
        return Redemption(used=True)
    if question.paused is not None:
        return Redemption(used=False)
    key = core.keys.reservation(question.limits[0], reservation_id).encode()
    freezes = [freeze for part in question.parts for freeze in part.keys[1:]]
    same_node = [freeze for freeze in freezes if core.preparer.same_node(freeze, key)]
    frozen = _frozen_elsewhere(core, prepared, key)
    code, *values = core.run(
        REDEEM,
        [key, *same_node],
        [doubles(core.clock_us(), early * 1e6), owner.encode("utf-8", "surrogatepass")],
    )
    if code == 0:
        return Redemption(used=False)
    seconds = values[0] / 1e6
    if code == 2:
        return Redemption(used=True, late_seconds=-seconds, early_seconds=seconds)
    if code == 3 or frozen > 0:
        return Redemption(used=True, frozen_seconds=max(seconds if code == 3 else 0.0, frozen))
    return Redemption(
        used=True,
        late_seconds=seconds,
        start_us=values[1] - values[0],
        charged=question.limits,
    )


def _frozen_elsewhere(core: Core, prepared: Prepared, key: bytes) -> float:
    """Seconds that a freeze lasts which another node of the cluster keeps than ``key``'s."""
    longest = 0.0
    for part in prepared.question.parts:
        if not part.kind and not core.preparer.same_node(part.keys[0], key):
            answer = core.finish(core.deciding([part], holder=""))
            if not isinstance(answer, int):
                longest = max(longest, answer[1] / 1e6)
    return longest
