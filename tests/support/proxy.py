"""A TCP relay on loopback whose connections a test can cut."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

from celery_ratekit.embedded.ports import LOOPBACK

CHUNK_BYTES = 65_536
RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s


class Proxy:
    """Relays each connection to a port of this machine, until it is told to drop them all."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        #: Where it listens on 127.0.0.1.
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def drop(self) -> int:
        """Resets every connection, both ways; returns how many there were."""
        with self._lock:
            cut, self._open = self._open, set()
        for end in cut:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_WHEN_CLOSED)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
            end.close()
        return len(cut) // 2

    def cut(self) -> None:
        """Drops every connection, and each that comes until `mend`."""
        self._is_cut = True
        self.drop()

    def mend(self) -> None:
        """Relays connections again."""
        self._is_cut = False

    def close(self) -> None:
        """Drops every connection and takes no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                self._relay_both_ways(self._listener.accept()[0])

    def _relay_both_ways(self, client: socket.socket) -> None:
        if self._is_cut:
            client.close()
            return
        try:
            server = socket.create_connection((LOOPBACK, self._target_port))
        except OSError:
            client.close()
            return
        with self._lock:
            self._open |= {client, server}
        for source, target in ((client, server), (server, client)):
            relay = threading.Thread(
                target=self._relay, args=(source, target), name="relay", daemon=True
            )
            relay.start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                target.sendall(data)
        with self._lock:
            self._open -= {source, target}
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
