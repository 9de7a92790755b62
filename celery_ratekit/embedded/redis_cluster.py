"""A private Redis Cluster."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import redis
import redis.cluster
import redis.exceptions

from ..errors import BadOptionError, EmbeddedServerError
from .binaries import find_redis
from .lifetime import Lifetime
from .ports import LOOPBACK
from .redis_config import ConfigValue
from .redis_server import AT_ONCE, EmbeddedRedis
from .waiting import NotYetError, wait_for

__all__ = ["EmbeddedCluster"]

SLOTS = 16_384
FORM_TIMEOUT_SECS = 30.0  # until every node knows every other; about 2 s on an idle machine

# How long a node may be silent before the others elect a successor.
NODE_TIMEOUT_MS = 2_000


class EmbeddedCluster(Lifetime):
    """A Redis Cluster of one's own on 127.0.0.1, with a password.

    ``masters`` share the slots evenly; each has ``replicas`` of its own. It lives and ends as
    `EmbeddedRedis` does. The bus between the nodes has no password, as in any Redis Cluster;
    it listens on 127.0.0.1 only.

    - ``executable``, ``config``: as for `EmbeddedRedis`, for every node.
    - ``timeout``: seconds until the cluster has to be complete, default 30.

    >>> with EmbeddedCluster() as cluster:
    ...     cluster.client().set("key", "value")
    True
    """

    def __init__(
        self,
        masters: int = 3,
        replicas: int = 0,
        *,
        executable: str | os.PathLike[str] | None = None,
        config: Mapping[str, ConfigValue] | None = None,
        timeout: float = FORM_TIMEOUT_SECS,
    ) -> None:
        if masters < 1 or replicas < 0:
            raise BadOptionError(f"a cluster has masters, not {masters}; replicas: {replicas}")
        self._masters = masters
        self._timeout = timeout
        #: The password of every node.
        self.password = secrets.token_hex(16)
        executable = find_redis(executable)
        node_config = {"cluster-node-timeout": NODE_TIMEOUT_MS, **AT_ONCE, **(config or {})}
        #: Every node, the first masters first; a test may pause, kill and restart one.
        self.nodes = [
            EmbeddedRedis(
                tcp=True,
                cluster=True,
                executable=executable,
                config=node_config,
                password=self.password,
            )
            for _ in range(masters * (1 + replicas))
        ]

    def start(self) -> EmbeddedCluster:
        """Start the nodes, join them, and wait until each can serve and knows all others."""
        if any(node.alive for node in self.nodes):
            return self
        try:
            for node in self.nodes:
                node.start()
            self._form()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop every node; nothing happens if they were stopped before."""
        for node in self.nodes:
            node.stop()

    @property
    def url(self) -> str:
        """The address of the first node that lives, for ``RedisCluster.from_url``."""
        return self._living()[0].url

    @property
    def startup_nodes(self) -> list[tuple[str, int]]:
        """Host and port of every node."""
        return [(LOOPBACK, node.port) for node in self.nodes]

    def client(self, **options: Any) -> redis.cluster.RedisCluster:
        """A new redis-py client of the cluster; ``options`` go to ``from_url``."""
        return redis.cluster.RedisCluster.from_url(self.url, **options)

    def node_of(self, key: str) -> EmbeddedRedis:
        """The node that serves a key now. `EmbeddedServerError` if there is none."""
        slot = int(self._ask(self._living()[0], "KEYSLOT", key))
        for node in self._living():
            if any(slot in slots for slots in _own_slots(self._ask(node, "NODES"))):
                return node
        raise EmbeddedServerError(f"no node serves slot {slot}")

    def wait_until_complete(self, *, timeout: float | None = None) -> None:
        """Wait until every node that lives serves all slots and agrees on who is who.

        For after a failover. ``timeout`` in seconds, default: the cluster's own.
        """
        wait_for(
            "complete Redis Cluster",
            lambda: self._check_complete(self._living()),
            timeout=self._timeout if timeout is None else timeout,
        )

    def _living(self) -> list[EmbeddedRedis]:
        living = [node for node in self.nodes if node.alive]
        if not living:
            raise EmbeddedServerError("the embedded cluster was not started, or was stopped")
        return living

    # Forming

    def _form(self) -> None:
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        for epoch, node in enumerate(self.nodes, start=1):
            self._ask(node, "SET-CONFIG-EPOCH", str(epoch))  # no two masters may claim the same
        for position, master in enumerate(masters):
            first = position * SLOTS // self._masters
            last = (position + 1) * SLOTS // self._masters - 1
            self._assign(master, first, last)
        for node in self.nodes:  # each meets each: gossip alone would take seconds longer
            for other in self.nodes:
                if other is not node:
                    self._ask(node, "MEET", LOOPBACK, str(other.port))
        for position, replica in enumerate(replicas):
            self._replicate(replica, masters[position % self._masters])
        self.wait_until_complete()

    def _assign(self, master: EmbeddedRedis, first: int, last: int) -> None:
        try:
            self._ask(master, "ADDSLOTSRANGE", str(first), str(last))
        except redis.exceptions.ResponseError:  # before Redis 7.0
            self._ask(master, "ADDSLOTS", *map(str, range(first, last + 1)))

    def _replicate(self, replica: EmbeddedRedis, master: EmbeddedRedis) -> None:
        name = str(self._ask(master, "MYID"))
        wait_for(  # refused until the replica has met its master
            "replica joining its master",
            lambda: self._ask(replica, "REPLICATE", name),
            timeout=self._timeout,
        )

    def _check_complete(self, living: Sequence[EmbeddedRedis]) -> None:
        for node in living:
            facts = _facts(self._ask(node, "INFO"))
            if facts["cluster_state"] != "ok" or facts["cluster_slots_ok"] != str(SLOTS):
                raise NotYetError(f"port {node.port} says {facts}")
        views = [self._view(node, living) for node in living]
        if any(view != views[0] for view in views):
            raise NotYetError(f"the nodes disagree: {views}")
        served = sum(
            len(slots) for node in living for slots in _own_slots(self._ask(node, "NODES"))
        )
        if served != SLOTS:  # a master has just died, and the others have not noticed
            raise NotYetError(f"only {served} slots are served")
        for node in living:
            self._check_replication(node)

    def _view(self, node: EmbeddedRedis, living: Sequence[EmbeddedRedis]) -> dict[int, str]:
        """Port to role, and to the slots or the master, as one node sees the living ones."""
        ports = {one.port for one in living}
        view = {}
        for line in self._ask(node, "NODES").splitlines():
            _, address, flags, master, _, _, _, link, *slots = line.split()
            port = int(address.split("@")[0].rpartition(":")[2])
            if port not in ports:
                continue
            role = flags.replace("myself,", "")
            if role not in ("master", "slave") or link != "connected":
                raise NotYetError(f"port {node.port} sees {line}")
            view[port] = f"{role} {master} {' '.join(slots)}"
        if view.keys() != ports:
            raise NotYetError(f"port {node.port} knows only {sorted(view)} of {sorted(ports)}")
        return view

    def _check_replication(self, node: EmbeddedRedis) -> None:
        with node.client() as client:
            facts: dict[str, Any] = client.info("replication")
        if facts["role"] == "slave" and facts["master_link_status"] != "up":
            raise NotYetError(f"port {node.port} has not caught up with its master")

    def _ask(self, node: EmbeddedRedis, *arguments: str) -> str:
        with node.client(decode_responses=True, socket_timeout=self._timeout) as client:
            return str(client.execute_command("CLUSTER", *arguments))


def _facts(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value for name, _, value in pairs}


def _own_slots(nodes: str) -> list[range]:
    """The slots that a node claims in its own line of CLUSTER NODES."""
    mine = next(line for line in nodes.splitlines() if "myself" in line)
    pairs = (word.partition("-") for word in mine.split()[8:] if not word.startswith("["))
    return [range(int(first), int(last or first) + 1) for first, _, last in pairs]
