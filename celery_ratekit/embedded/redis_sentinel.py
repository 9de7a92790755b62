"""A private Redis master with replicas, watched by Sentinels."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from typing import Any

import redis
import redis.exceptions
import redis.sentinel

from ..errors import BadOptionError, EmbeddedServerError
from .binaries import find_redis
from .lifetime import Lifetime
from .ports import LOOPBACK
from .redis_config import ConfigValue, quoted
from .redis_server import AT_ONCE, EmbeddedRedis
from .waiting import NotYetError, wait_for

__all__ = ["EmbeddedSentinel"]

SETTLE_TIMEOUT_SECS = 60.0  # until everybody knows everybody; about 2 s with Redis 7.0
DOWN_AFTER_MS = 2_000  # how long the master may be silent before it counts as dead
FAILOVER_TIMEOUT_MS = 5_000  # twice this passes between two automatic failovers

# Sentinel's own periods in ms, shortened so that tests need not wait for them; since Redis 7.0.
# It does nothing for 30 s ("tilt") after a hiccup of 2 s, as busy test machines have them.
SHORT_PERIODS = {
    "info-period": 500,
    "publish-period": 250,
    "tilt-trigger": 10_000,
    "tilt-period": 1_000,
}


class EmbeddedSentinel(Lifetime):
    """A Redis master of one's own with replicas and Sentinels, on 127.0.0.1, with a password.

    It lives and ends as `EmbeddedRedis` does.

    - ``service_name``: what the Sentinels call the master.
    - ``executable``, ``config``: as for `EmbeddedRedis`; the config is the master's and replicas'.
    - ``timeout``: seconds until everything has to be in place, default 60.

    >>> with EmbeddedSentinel() as sentinel:
    ...     old = sentinel.master_address
    ...     sentinel.failover() != old
    True
    """

    def __init__(
        self,
        replicas: int = 1,
        sentinels: int = 3,
        *,
        service_name: str = "ratekit",
        executable: str | os.PathLike[str] | None = None,
        config: Mapping[str, ConfigValue] | None = None,
        timeout: float = SETTLE_TIMEOUT_SECS,
    ) -> None:
        if replicas < 0 or sentinels < 1:
            raise BadOptionError(f"{replicas} replicas and {sentinels} sentinels watch nothing")
        self._timeout = timeout
        self._executable = find_redis(executable)
        #: The name by which the Sentinels know the master.
        self.service_name = service_name
        #: The password of the master, the replicas and the Sentinels.
        self.password = secrets.token_hex(16)
        first = self._node(config or {})
        #: The first master, and then its replicas, whatever their roles are now.
        self.nodes = [first]
        self._config = dict(config or {})
        self._replicas = replicas
        self._count = sentinels
        #: The Sentinels; a test may pause, kill and restart one.
        self.sentinel_nodes: list[EmbeddedRedis] = []

    def start(self) -> EmbeddedSentinel:
        """Start everything and wait until each Sentinel knows the master and all others."""
        if self.sentinel_nodes:
            return self
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop everything; nothing happens if it was stopped before."""
        for node in [*self.sentinel_nodes, *self.nodes]:
            node.stop()
        del self.nodes[1:]
        self.sentinel_nodes.clear()

    # Where it is

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """Host and port of every Sentinel."""
        return [(LOOPBACK, node.port) for node in self.sentinel_nodes]

    @property
    def celery_url(self) -> str:
        """The Sentinels' address as Celery wants it, together with `transport_options`."""
        hosts = (f"sentinel://:{self.password}@{host}:{port}/0" for host, port in self.sentinels)
        return ";".join(hosts)

    @property
    def transport_options(self) -> dict[str, Any]:
        """What Celery's ``broker_transport_options`` need besides `celery_url`."""
        return {
            "master_name": self.service_name,
            "sentinel_kwargs": {"password": self.password},
        }

    @property
    def master_address(self) -> tuple[str, int]:
        """Host and port of the master, as the Sentinels that live announce it.

        `EmbeddedServerError` while they disagree.
        """
        addresses = {self._announced(node) for node in self._living(self.sentinel_nodes)}
        if len(addresses) != 1:
            raise EmbeddedServerError(f"the Sentinels announce {sorted(addresses)}")
        return addresses.pop()

    @property
    def master(self) -> EmbeddedRedis:
        """The server that the Sentinels announce as master now."""
        _, port = self.master_address
        return next(node for node in self.nodes if node.port == port)

    def manager(self, **options: Any) -> redis.sentinel.Sentinel:
        """redis-py's Sentinel for these; ``options`` go to the clients that it makes."""
        return redis.sentinel.Sentinel(
            self.sentinels,
            sentinel_kwargs={"password": self.password},
            password=self.password,
            **options,
        )

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client that follows the master; ``options`` go to the client."""
        manager: Any = self.manager(**options)
        client: redis.Redis = manager.master_for(self.service_name)
        return client

    # What tests do to it

    def failover(self, *, timeout: float | None = None) -> tuple[str, int]:
        """Let the Sentinels promote a replica of a master that lives; the new master's address.

        An earlier failover is waited for. Until the Sentinels have told the old master
        (`wait_until_complete`), it goes on as if it were one.
        """
        self.wait_until_complete(timeout=timeout)
        old = self.master_address
        wait_for(  # refused until the Sentinel finds a replica fit for it
            "Sentinel ready for a failover",
            lambda: self._ask(self._living(self.sentinel_nodes)[0], "FAILOVER", self.service_name),
            timeout=self._timeout if timeout is None else timeout,
        )
        return self.wait_for_new_master(old, timeout=timeout)

    def kill_master(self) -> tuple[str, int]:
        """Kill the master (SIGKILL); the address it had, for `wait_for_new_master`.

        The Sentinels need two seconds to notice. Its `EmbeddedRedis.restart` brings it back
        as a replica.
        """
        old = self.master_address
        self.master.kill()
        return old

    def wait_for_new_master(
        self, old: tuple[str, int], *, timeout: float | None = None
    ) -> tuple[str, int]:
        """The address of a master other than ``old``, once all announce it and it accepts writes.

        ``timeout`` in seconds, default: the set's own; `EmbeddedServerError` at its end.
        """
        return wait_for(
            "new master",
            lambda: self._check_new_master(old),
            timeout=self._timeout if timeout is None else timeout,
        )

    def wait_until_complete(self, *, timeout: float | None = None) -> None:
        """Wait until all that live agree: one master, every other a replica that has caught up.

        For after a failover or a restart. ``timeout`` in seconds, default: the set's own.
        """
        wait_for(
            "complete set of master, replicas and Sentinels",
            self._check_complete,
            timeout=self._timeout if timeout is None else timeout,
        )

    # Starting

    def _start_all(self) -> None:
        master = self.nodes[0].start()
        for _ in range(self._replicas):
            replica = self._node({"replicaof": f"{LOOPBACK} {master.port}", **self._config})
            self.nodes.append(replica)
            replica.start()
        # A Sentinel looks for replicas every 10 s: let the first look find them.
        wait_for("replication", lambda: self._check_replication(master), timeout=self._timeout)
        for _ in range(self._count):
            sentinel = _SentinelNode(self, master.port, executable=self._executable)
            self.sentinel_nodes.append(sentinel)
            sentinel.start()
            with contextlib.suppress(redis.exceptions.ResponseError):  # before Redis 7.0
                self._ask(
                    sentinel, "DEBUG", *(str(x) for pair in SHORT_PERIODS.items() for x in pair)
                )
        self.wait_until_complete()

    def _node(self, config: Mapping[str, ConfigValue]) -> EmbeddedRedis:
        return EmbeddedRedis(
            tcp=True,
            executable=self._executable,
            password=self.password,
            config={"masterauth": quoted(self.password), **AT_ONCE, **config},
        )

    def _check_new_master(self, old: tuple[str, int]) -> tuple[str, int]:
        new = self._agreed_master()
        if new == old:
            raise NotYetError(f"the Sentinels still announce {old}")
        with self.master.client() as client:
            if client.role()[0] not in (b"master", "master"):
                raise NotYetError(f"{new} does not know yet that it is the master")
            client.delete("ratekit-is-this-writable")  # raises on a replica, changes nothing
        return new

    def _agreed_master(self) -> tuple[str, int]:
        try:
            return self.master_address
        except EmbeddedServerError as error:
            raise NotYetError(str(error)) from error

    def _check_complete(self) -> None:
        self._agreed_master()
        self._check_replication(self.master)
        for sentinel in self._living(self.sentinel_nodes):
            self._check_view(sentinel)

    def _check_view(self, sentinel: EmbeddedRedis) -> None:
        """What a Sentinel believes lags behind what is."""
        master = _facts(self._ask(sentinel, "MASTER", self.service_name))
        replicas = [_facts(one) for one in self._ask(sentinel, "REPLICAS", self.service_name)]
        living = {node.port for node in self._living(self.nodes)}
        in_place = (
            master["flags"] == "master"
            and int(master["num-other-sentinels"]) == self._count - 1
            and len(replicas) == self._replicas
            and all(_is_fit(one) for one in replicas if int(one["port"]) in living)
        )
        if not in_place:
            raise NotYetError(f"the Sentinel on port {sentinel.port} sees {master}, {replicas}")

    def _check_replication(self, master: EmbeddedRedis) -> None:
        for node in self._living(self.nodes):
            with node.client() as client:
                facts: dict[str, Any] = client.info("replication")
            if node is master:
                in_place = facts["role"] == "master"
            else:
                in_place = (
                    facts["role"] == "slave"
                    and facts["master_port"] == master.port
                    and facts["master_link_status"] == "up"
                )
            if not in_place:
                raise NotYetError(f"port {node.port} says {facts}")

    def _living(self, nodes: list[EmbeddedRedis]) -> list[EmbeddedRedis]:
        living = [node for node in nodes if node.alive]
        if not living:
            raise EmbeddedServerError("the embedded Sentinels were not started, or were stopped")
        return living

    def _announced(self, sentinel: EmbeddedRedis) -> tuple[str, int]:
        host, port = self._ask(sentinel, "GET-MASTER-ADDR-BY-NAME", self.service_name)
        return str(host), int(port)

    def _ask(self, sentinel: EmbeddedRedis, *arguments: str) -> Any:
        with sentinel.client(decode_responses=True, socket_timeout=self._timeout) as client:
            return client.execute_command("SENTINEL", *arguments)


def _facts(answer: Any) -> dict[str, str]:
    """A flat list of names and values, as a dict; RESP3 and newer clients give one."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def _is_fit(replica: dict[str, str]) -> bool:
    return (
        replica["flags"] == "slave"
        and replica["role-reported"] == "slave"
        and replica["master-link-status"] == "ok"
    )


class _SentinelNode(EmbeddedRedis):
    """One Sentinel."""

    def __init__(self, owner: EmbeddedSentinel, master_port: int, *, executable: str) -> None:
        super().__init__(tcp=True, executable=executable, password=owner.password)
        self._owner = owner
        self._master_port = master_port

    def _own_directives(self) -> dict[str, ConfigValue]:
        name, password = self._owner.service_name, quoted(self.password)
        quorum = self._owner._count // 2 + 1
        return {
            "sentinel": [
                f"monitor {name} {LOOPBACK} {self._master_port} {quorum}",
                f"auth-pass {name} {password}",
                f"down-after-milliseconds {name} {DOWN_AFTER_MS}",
                f"failover-timeout {name} {FAILOVER_TIMEOUT_MS}",
                f"sentinel-pass {password}",
            ]
        }

    def _arguments(self) -> list[str]:
        return ["--sentinel"]
