"""A Django site on loopback whose admin shows limits: ``python -m`` with a Redis and a directory.

It prints its address once it listens, and goes on until it is killed. With the word ``friendly`` it
has no limits with hostile names, for pictures.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from support.django_site import configure, make_tables, user_with

FRIENDLY = {"stripe": "100/m:20", "mail": "10/s", "search": "600/m"}

HOSTILE = {
    "<script>document.title='broken'</script>": "5/m",
    '"><img src=x onerror="document.title=\'broken\'">': "5/m",
    "a/b?c=d#e": "5/m",
    "no-place-to-break-" * 8: "5/m",
    "turned \u202e round\x1b[31m": "5/m",
}


def main(redis_url: str, directory: str, *words: str) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(directory) / "site.db")}
    configure(DATABASES={"default": database}, DEBUG=True)
    make_tables()
    user_with("ann", "view_ratelimit", "change_ratelimit")
    user_with("eve", "view_ratelimit")

    from support.django_admin import park, shop

    app = shop(redis_url, ratekit_limits=FRIENDLY if "friendly" in words else FRIENDLY | HOSTILE)
    app.set_default()  # The server's threads have no other.
    park(app, "emails", "mail", 1_240)
    park(app, "celery", "charge", 37)
    serve()


def serve() -> None:
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.daemon_threads = True
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
