"""The harbour's counter. It belongs to another team: read it, but what you change here is not deployed.

GET  /               how many ships were counted
POST /count          counts one more
GET  /health         200 when ready; 503 while it loads its tables or is in trouble
GET  /report?seconds=N   an answer that takes its time
GET  /picture?mb=N   draws a picture, which takes N MB of memory
POST /night?lines=N  writes N lines to the log
POST /trouble?kind=sick|hang|none   for drills: /health says 503, or nothing any more, or the truth again
POST /crash          for drills: ends at once
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

DATA = Path("/data/count.txt")
LOADING_SECONDS = 0.8
started, lock = time.monotonic(), threading.Lock()
trouble = "none"


def counted(more: int = 0) -> int:
    """The number in the file; `more` is added to it first."""
    with lock:
        number = int(DATA.read_text() if DATA.exists() else 0) + more
        if more:
            DATA.parent.mkdir(parents=True, exist_ok=True)
            DATA.write_text(str(number))
        return number


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Each address is a method of this class."""
        address = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(address.query).items()}
        action = getattr(self, f"at_{address.path.strip('/') or 'root'}", None)
        status, text = action(**asked) if action else (404, "nothing here")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Requests are not logged; what they do is."""

    def at_root(self) -> tuple[int, str]:
        return 200, str(counted())

    def at_count(self) -> tuple[int, str]:
        return 200, str(counted(1))

    def at_health(self) -> tuple[int, str]:
        while trouble == "hang":
            time.sleep(0.1)
        ready = trouble == "none" and time.monotonic() - started > LOADING_SECONDS
        return (200, "ready") if ready else (503, "not ready")

    def at_report(self, seconds: str = "1") -> tuple[int, str]:
        time.sleep(float(seconds))
        return 200, "the report"

    def at_picture(self, mb: str = "20") -> tuple[int, str]:
        return 200, f"{len(bytearray(b'x') * (int(mb) * 1_000_000))} bytes"

    def at_night(self, lines: str = "1000") -> tuple[int, str]:
        sys.stdout.writelines(f"ship {number:07d} passed the harbour light, {'.' * 60}\n" for number in range(int(lines)))
        print("the night is over", flush=True)
        return 200, lines

    def at_trouble(self, kind: str = "none") -> tuple[int, str]:
        global trouble
        trouble = kind
        return 200, kind

    def at_crash(self) -> tuple[int, str]:
        os._exit(3)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", 8000), Handler)
    server.daemon_threads = False  # what was begun is finished
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print("the counter listens on 8000", flush=True)
    server.serve_forever()
    trouble = "none"  # so that no check keeps the process
    server.server_close()
    print("the counter has finished what it had begun", flush=True)
