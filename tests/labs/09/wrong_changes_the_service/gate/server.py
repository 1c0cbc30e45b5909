"""The gate's register: who came in, with a picture. Python's standard library only.

GET  /health    200 with the checksum of the tide table's token; 503 without key or tide table
GET  /entries   the names of all pictures; header X-Key
PUT  /entries/N the picture of entry N; header X-Key

HARBOUR_KEY, or the file that HARBOUR_KEY_FILE names, holds the key. SPOOL_DIR is where pictures wait to be fetched. PORT is 8080.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SPOOL = Path("/tmp")
TIDES = Path(__file__).with_name("tides.json")


def key():
    """The key that callers must send; "" where there is none."""
    named = os.environ.get("HARBOUR_KEY_FILE")
    try:
        return Path(named).read_text().strip() if named else os.environ.get("HARBOUR_KEY", "")
    except OSError as error:
        print(f"HARBOUR_KEY_FILE: {error}", file=sys.stderr, flush=True)
        return ""


class Gate(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        if self.path == "/health":
            if not key() or not TIDES.is_file():
                return self.answer(503, {"status": "no key" if TIDES.is_file() else "no tide table"})
            return self.answer(200, {"status": "ok", **json.loads(TIDES.read_text())})
        if self.path != "/entries":
            return self.answer(404, {"detail": "There is no such page."})
        if self.headers.get("X-Key") != key():
            return self.answer(401, {"detail": "Send the key in X-Key."})
        return self.answer(200, sorted(each.name for each in SPOOL.iterdir()))

    def do_PUT(self):
        name = self.path.removeprefix("/entries/")
        if self.headers.get("X-Key") != key():
            return self.answer(401, {"detail": "Send the key in X-Key."})
        if not name.isalnum():
            return self.answer(400, {"detail": "Letters and digits only."})
        try:
            with tempfile.NamedTemporaryFile(delete=False) as part:  # so that nobody fetches half a picture
                part.write(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            shutil.move(part.name, SPOOL / name)
        except OSError as error:
            print(f"the picture was not kept: {error}", file=sys.stderr, flush=True)
            return self.answer(500, {"detail": f"The picture was not kept: {error}"})
        return self.answer(201, {"kept": name})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Gate).serve_forever()
