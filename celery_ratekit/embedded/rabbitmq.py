"""A private rabbitmq-server."""

from __future__ import annotations

import atexit
import os
import secrets
import socket

import kombu
from kombu.exceptions import KombuError

from ..errors import EmbeddedServerError
from .binaries import find_epmd, find_rabbitmq
from .home import Home
from .lifetime import Lifetime
from .ports import LOOPBACK, free_port
from .process import ServerProcess, tail
from .waiting import NotYetError, wait_for

__all__ = ["EmbeddedRabbitMQ"]

START_TIMEOUT_SECS = 60.0  # about 4 s on an idle machine
EPMD_TIMEOUT_SECS = 10.0
ANSWER_TIMEOUT_SECS = 2.0  # for one connection while the broker starts
ATTEMPTS = 3  # with new ports each

NODE_NAME = "ratekit@localhost"

# What the caller's environment may say about another RabbitMQ or Erlang.
FOREIGN_VARIABLES = ("RABBITMQ_", "ERL_", "NOTIFY_SOCKET")


class _PortTakenError(Exception):
    pass


class EmbeddedRabbitMQ(Lifetime):
    """A RabbitMQ broker of one's own on 127.0.0.1, with a random user and password.

    It has its own port mapper, cookie, database and config, and runs as the calling user. It
    lives and ends as `EmbeddedRedis` does.

    - ``executable``: a rabbitmq-server script; default: the one on PATH, or the one that Debian's
      wraps.
    - ``start_timeout``: seconds until the broker has to answer, default 60.

    >>> with EmbeddedRabbitMQ() as broker:
    ...     broker.url.startswith("amqp://")
    True
    """

    def __init__(
        self,
        *,
        executable: str | os.PathLike[str] | None = None,
        start_timeout: float = START_TIMEOUT_SECS,
    ) -> None:
        #: The path of the server's start script.
        self.executable = find_rabbitmq(executable)
        #: The name of the only user, an administrator.
        self.user = f"ratekit-{secrets.token_hex(4)}"
        #: The user's password.
        self.password = secrets.token_hex(16)
        self._epmd_executable = find_epmd()
        self._start_timeout = start_timeout
        self._home: Home | None = None
        self._epmd: ServerProcess | None = None
        self._broker: ServerProcess | None = None
        self._port = self._dist_port = self._epmd_port = 0

    # Life

    def start(self) -> EmbeddedRabbitMQ:
        """Start the broker and wait until one can log in; nothing if it was started before.

        `EmbeddedServerError`, with the end of its log, if one cannot.
        """
        if self._home is not None:
            return self
        for attempts_left in reversed(range(ATTEMPTS)):
            try:
                self._start_once()
                break
            except _PortTakenError as error:
                if not attempts_left:
                    raise EmbeddedServerError(str(error)) from error
        return self

    def stop(self) -> None:
        """Stop the broker and remove what it stored; nothing if it was stopped before."""
        home = self._home
        if home is None or home.owner_pid != os.getpid():
            return
        for process in (self._broker, self._epmd):
            if process is not None:
                process.kill()
        home.close()
        self._home = self._broker = self._epmd = None
        atexit.unregister(self.stop)

    # Where it is

    @property
    def url(self) -> str:
        """The broker's address, as Celery and kombu want it."""
        return f"amqp://{self.user}:{self.password}@{LOOPBACK}:{self.port}//"

    @property
    def port(self) -> int:
        """The AMQP port on 127.0.0.1."""
        self._started_home()
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the broker, or of the one that was killed."""
        return self._started_broker().pid

    @property
    def epmd_pid(self) -> int:
        """The process id of the broker's own port mapper."""
        if self._epmd is None:
            raise EmbeddedServerError("the embedded RabbitMQ was not started, or was stopped")
        return self._epmd.pid

    @property
    def alive(self) -> bool:
        """Whether the broker process exists; also True while it is paused."""
        return self._broker is not None and self._broker.alive

    @property
    def log(self) -> str:
        """The end of what the broker wrote to its log."""
        return tail(self._started_home().path / "server.log")

    # What tests do to it

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP)."""
        self._started_broker().pause()

    def resume(self) -> None:
        """Let a paused broker go on."""
        self._started_broker().resume()

    def kill(self) -> None:
        """Kill the broker (SIGKILL), keeping its address and files for `restart`."""
        self._check_owner()
        self._started_broker().kill()

    def restart(self) -> None:
        """Start the broker anew on the same address, with its durable queues and messages.

        A broker that runs is shut down in order first.
        """
        self._check_owner()
        self._started_broker().terminate()
        try:
            self._launch_broker()
        except _PortTakenError as error:
            raise EmbeddedServerError(str(error)) from error

    # Starting

    def _start_once(self) -> None:
        self._home = Home()
        atexit.register(self.stop)
        try:
            self._epmd_port, self._dist_port, self._port = _different_ports(3)
            self._write_files(self._home)
            self._launch_epmd()
            self._launch_broker()
        except BaseException:
            self.stop()
            raise

    def _write_files(self, home: Home) -> None:
        home.write(
            "rabbitmq.conf",
            f"listeners.tcp.1 = {LOOPBACK}:{self._port}\n"
            f"default_user = {self.user}\n"
            f"default_pass = {self.password}\n",
        )
        home.write("enabled_plugins", "[].\n")
        home.write("rabbitmq-env.conf", "")
        home.write(".erlang.cookie", secrets.token_hex(16)).chmod(0o400)

    def _environment(self, home: Home) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN_VARIABLES)
        }
        return kept | {
            "HOME": str(home.path),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home.path / "advanced.config"),
            "RABBITMQ_CONFIG_FILE": str(home.path / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(home.path / "rabbitmq-env.conf"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home.path / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home.path / "config"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(home.path / "log"),
            "RABBITMQ_MNESIA_BASE": str(home.path / "mnesia"),
            "RABBITMQ_NODENAME": NODE_NAME,
            "RABBITMQ_SCHEMA_DIR": str(home.path / "schema"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then becomes the broker
        }

    def _launch_epmd(self) -> None:
        home = self._started_home()
        self._epmd = epmd = ServerProcess(
            home,
            [self._epmd_executable, "-address", LOOPBACK, "-port", str(self._epmd_port)],
            log=home.path / "epmd.log",
            env=self._environment(home),
        )

        def check() -> None:
            epmd.check_alive("epmd")
            socket.create_connection((LOOPBACK, self._epmd_port), timeout=1).close()

        try:
            wait_for("answer from epmd", check, timeout=EPMD_TIMEOUT_SECS)
        except EmbeddedServerError as error:
            if not epmd.alive:
                raise _PortTakenError(str(error)) from error
            raise

    def _launch_broker(self) -> None:
        home = self._started_home()
        log = home.path / "server.log"
        log_start = log.stat().st_size if log.exists() else 0
        self._broker = broker = ServerProcess(
            home, [self.executable], log=log, env=self._environment(home)
        )
        try:
            wait_for(
                "answer from rabbitmq-server",
                lambda: self._check_login(broker),
                timeout=self._start_timeout,
            )
        except EmbeddedServerError as error:
            if b"eaddrinuse" in log.read_bytes()[log_start:] and not broker.alive:
                raise _PortTakenError(str(error)) from error
            raise

    def _check_login(self, broker: ServerProcess) -> None:
        broker.check_alive("rabbitmq-server")
        connection = kombu.Connection(self.url, connect_timeout=ANSWER_TIMEOUT_SECS)
        try:
            connection.connect()
        except (KombuError, *connection.connection_errors) as error:
            raise NotYetError(str(error)) from error
        finally:
            connection.release()

    def _started_home(self) -> Home:
        if self._home is None:
            raise EmbeddedServerError("the embedded RabbitMQ was not started, or was stopped")
        return self._home

    def _started_broker(self) -> ServerProcess:
        if self._broker is None:
            raise EmbeddedServerError("the embedded RabbitMQ was not started, or was stopped")
        return self._broker

    def _check_owner(self) -> None:
        if self._started_home().owner_pid != os.getpid():
            raise EmbeddedServerError("only the process that started the server can end it")


def _different_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)
