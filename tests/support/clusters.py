"""Limits on chosen nodes of a cluster, and slots that move from one node to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.crc import key_slot

from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRedis
from celery_ratekit.embedded.ports import LOOPBACK
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Limit

L = TypeVar("L", bound=Limit)


def on_different_nodes(cluster: EmbeddedCluster, limiter: Limiter, limits: Sequence[L]) -> list[L]:
    """The same limits under names that put each on a node of its own, as far as there are nodes."""
    found: list[L] = []
    taken: list[int] = []
    for limit in limits:
        for number in range(1_000):
            named = limit.with_name(f"{limit.name}-{number}")
            port = cluster.node_of(limiter.keys.state(named)).port
            if port not in taken[-(len(cluster.nodes) - 1) :]:
                found.append(named)
                taken.append(port)
                break
    return found


@dataclass
class Move:
    """A slot that moves; `finish` tells every node whose it is now."""

    source: EmbeddedRedis
    target: EmbeddedRedis
    slot: int
    others: Sequence[EmbeddedRedis]
    ids: dict[int, str] = field(default_factory=dict)

    def begin(self) -> None:
        for node in (self.source, self.target):
            self.ids[node.port] = _text(_cluster(node, "MYID"))
        _cluster(self.target, "SETSLOT", self.slot, "IMPORTING", self.ids[self.source.port])
        _cluster(self.source, "SETSLOT", self.slot, "MIGRATING", self.ids[self.target.port])

    def carry_keys(self) -> int:
        """Moves the keys that are there; how many they were."""
        keys = _cluster(self.source, "GETKEYSINSLOT", self.slot, 1_000)
        with self.source.client() as client:
            for key in keys:
                client.execute_command(
                    *("MIGRATE", LOOPBACK, self.target.port, key, 0, 5_000),
                    *("AUTH", self.source.password),
                )
        return len(keys)

    def finish(self) -> None:
        for node in (self.target, self.source, *self.others):
            _cluster(node, "SETSLOT", self.slot, "NODE", self.ids[self.target.port])


@contextmanager
def moving(cluster: EmbeddedCluster, key: str) -> Iterator[Move]:
    """The slot of a key on its way to another node; in the end it is where it was."""
    source = cluster.node_of(key)
    target, *others = [node for node in cluster.nodes if node is not source]
    move = Move(source, target, key_slot(key.encode()), others)
    move.begin()
    try:
        yield move
    finally:
        move.carry_keys()
        move.finish()
        back = Move(target, source, move.slot, others)
        back.begin()
        back.carry_keys()
        back.finish()


def _cluster(node: EmbeddedRedis, *arguments: object) -> Any:
    with node.client() as client:
        return client.execute_command("CLUSTER", *arguments)


def _text(answer: bytes | str) -> str:
    return answer.decode() if isinstance(answer, bytes) else answer
