"""The way to a Redis Cluster: which node has which key, also while keys move and nodes die."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, ResponseError, TryAgainError

from ..errors import LimiterUnavailableError, RatekitError
from .breaker import CircuitBreaker, Degradation
from .forks import after_fork
from .redis_url import ClusterAddress
from .resp import pack
from .scripts import Script
from .server import Server
from .steps import Command

__all__ = ["ClusterTransport"]

MAX_REDIRECTIONS = 10
"""How often one question may be sent on to another node, or to the same one again."""

TRY_AGAIN_PAUSE_SECONDS = 0.005
"""Between two tries for keys that are just moving: half of them here, half of them there."""

REFRESH_SECONDS = 1.0
"""How often at most the nodes are asked who has what, unless nothing is known at all."""

SLOTS_COMMAND = pack((b"CLUSTER", b"SLOTS"))

Address = tuple[str, int]


class Node(Server):
    """One node of a cluster."""

    is_followed = True

    def __init__(
        self, address: Address, pool: Any, timeout_seconds: float, degradation: Degradation
    ) -> None:
        self.host, self.port = address
        super().__init__(pool, timeout_seconds, degradation, host=self.host, port=self.port)


class ClusterTransport:
    """The nodes of a Redis Cluster; follows keys that move between them."""

    splits_by_slot = True

    def __init__(
        self, cluster: ClusterAddress, timeout_seconds: float, degradation: Degradation
    ) -> None:
        self._cluster = cluster
        self._timeout_seconds = timeout_seconds
        self._degradation = degradation
        self._breaker = CircuitBreaker(degradation)  # of the question who has what
        self._nodes: dict[Address, Node] = {}
        self._owners: list[Node | None] = []
        self._outdated = True
        self._refresh_at = 0.0
        self._refreshing = threading.Lock()
        after_fork(self)

    def ask(self, key: bytes, command: bytes, script: Script | None = None) -> Any:
        slot = key_slot(key)
        node, migrating = self._owner(slot), False
        for _ in range(MAX_REDIRECTIONS):
            try:
                return node.ask(key, command, script, migrating=migrating)
            except MovedError as error:  # It is an AskError too, so it comes first.
                node, migrating = self._node_at(_host(error.host, node), error.port), False
                self._owners[slot] = node
                self._outdated = True
            except AskError as error:
                node, migrating = self._node_at(_host(error.host, node), error.port), True
            except TryAgainError:
                time.sleep(TRY_AGAIN_PAUSE_SECONDS)
                node, migrating = self._owner(slot), False
            except LimiterUnavailableError:
                # The node may be gone and its slots with another by now: ask about it next time.
                self._outdated = True
                raise
        raise LimiterUnavailableError(
            "Redis Cluster is just moving what the question is about to another node; nothing was "
            "charged. Ask again when it has moved"
        )

    def ask_many(self, commands: Sequence[Command]) -> list[Any]:
        answers: list[Any] = [None] * len(commands)
        by_node: dict[Node, list[int]] = {}
        for index, command in enumerate(commands):
            try:
                by_node.setdefault(self._owner(key_slot(command.key)), []).append(index)
            except LimiterUnavailableError as error:
                answers[index] = error
        for node, indexes in by_node.items():
            told = node.ask_many([commands[index] for index in indexes])
            for index, answer in zip(indexes, told, strict=True):
                answers[index] = self._followed(commands[index], answer)
        return answers

    def _followed(self, command: Command, answer: Any) -> Any:
        """The answer, from another node if that is where the keys are now."""
        if isinstance(answer, LimiterUnavailableError):
            self._outdated = True
        if not isinstance(answer, (AskError, TryAgainError)):
            return answer
        try:
            return self.ask(*command)
        except RatekitError as error:
            return error

    def close(self) -> None:
        for node in list(self._nodes.values()):
            node.close()

    def forget(self) -> None:
        """Begins a forked child with a lock that nobody holds."""
        self._refreshing = threading.Lock()

    def _owner(self, slot: int) -> Node:
        if self._outdated and (not self._owners or time.monotonic() >= self._refresh_at):
            self._refresh()
        owner = self._owners[slot]
        if owner is None:
            self._outdated = True
            raise LimiterUnavailableError(
                f"Redis Cluster has no node for slot {slot}; nothing was charged. Check that all "
                "slots are served"
            )
        return owner

    def _node_at(self, host: str, port: int, *, told: bool = True) -> Node:
        """The node at an address, which the cluster has ``told``, or which is known from here."""
        address = self._cluster.remapped(host, port) if told else (host, port)
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes.setdefault(
                address,
                Node(address, self._cluster.pool, self._timeout_seconds, self._degradation),
            )
        return node

    # -- who has what -----------------------------------------------------------------------

    def _refresh(self) -> None:
        """Learns who has what; without any answer it goes on with what it knew, if anything."""
        # One thread is enough, unless none of them knows anything yet.
        if not self._refreshing.acquire(timeout=0 if self._owners else self._timeout_seconds):
            if self._owners:
                return
            raise _nobody_answers()
        try:
            if self._outdated:
                self._refresh_at = time.monotonic() + REFRESH_SECONDS
                self._learn()
        finally:
            self._refreshing.release()

    def _learn(self) -> None:
        breaker = self._breaker
        probing = not breaker.is_closed
        if probing and not breaker.begin_probe():
            if self._owners:
                return
            raise _nobody_answers(breaker.error)
        failure: LimiterUnavailableError | None = None
        try:
            failure = self._ask_around()
            if failure is None:
                breaker.succeeded()
            elif not self._owners:
                breaker.failed(failure)
                raise failure
        finally:
            if probing:
                breaker.end_probe(failure)

    def _ask_around(self) -> LimiterUnavailableError | None:
        """Learns from the first node that answers; what the last one said where none does."""
        last: Exception | None = None
        for node, answer in self._answers():
            if not isinstance(answer, Exception):
                self._use(node, answer)
                return None
            last = answer
        return _nobody_answers(last)

    def _answers(self) -> Iterator[tuple[Node, Any]]:
        """Answers to who has what: of nodes that are well first, of all within the time-out."""
        until = time.monotonic() + self._timeout_seconds
        known = list(self._nodes.items())
        random.shuffle(known)
        known.sort(key=lambda item: not item[1].is_well)
        addresses = dict.fromkeys([address for address, _ in known] + [*self._cluster.nodes])
        for host, port in addresses:
            node = self._node_at(host, port, told=False)
            try:
                yield node, node.ask(b"", SLOTS_COMMAND)
            except (LimiterUnavailableError, ResponseError) as error:
                yield node, error
                if time.monotonic() >= until:
                    return

    def _use(self, teller: Node, answer: Any) -> None:
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in answer:
            node = self._node_at(_host((host or b"").decode(), teller), int(port))
            owners[first : last + 1] = [node] * (last + 1 - first)
        self._owners = owners
        self._outdated = False
        owning = {id(node) for node in owners}
        for address, node in list(self._nodes.items()):
            if id(node) not in owning and node is not teller:
                self._nodes.pop(address, None)
                node.retire()


def _host(told: str, teller: Node) -> str:
    """A node's host; one that does not know its own address, or must not tell it, leaves it out."""
    return teller.host if told in ("", "?") else told


def _nobody_answers(error: BaseException | None = None) -> LimiterUnavailableError:
    said = "" if error is None else f" ({error})"
    failure = LimiterUnavailableError(
        f"No node of the Redis Cluster says which node has what{said}; nothing was charged. Check "
        "that it runs, and the addresses and password that ratekit_redis_url gives"
    )
    failure.__cause__ = error
    return failure
