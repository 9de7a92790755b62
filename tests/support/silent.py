"""A server that never says a word."""

from __future__ import annotations

import socket
import threading


class SilentServer:
    """Accepts connections, counts them, and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self._open: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._accepted = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                self._open.append(self._listener.accept()[0])
            except OSError:
                return
            self._accepted.release()

    @property
    def connections(self) -> int:
        return len(self._open)

    def wait_for_connection(self) -> None:
        assert self._accepted.acquire(timeout=20)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)
        for one in self._open:
            one.close()
