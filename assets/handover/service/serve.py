"""A board that says which quay it reports for."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STATION = os.environ.get("STATION", "").strip()
PORT = int(os.environ["PORT"])
RELEASE = Path(__file__).with_name("release.txt").read_text(encoding="utf-8").strip()


class Board(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"station": STATION, "release": RELEASE}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text: str, *values: object) -> None:
        print(text % values, flush=True)


if not STATION:
    sys.exit("STATION is not set. It names the quay that this board reports for, for example STATION=quay-1.")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"board for {STATION}, port {PORT}", flush=True)
ThreadingHTTPServer(("0.0.0.0", PORT), Board).serve_forever()
