"""Runs inside a container: serve the files of /models, each with its SHA-256 at NAME.sha256; slow, busy or damaging on purpose.

POST /control takes {"mbit": 100, "busy": 2, "damage": true}: the speed of answers, how many of the next requests get 503, and whether
files arrive with one wrong byte in the middle, where a model has weights: it still loads. GET /control lists the paths that were asked for.
"""

import hashlib
import http.server
import json
import os
import time
from pathlib import Path
from urllib.parse import unquote

MODELS = Path("/models")
PORT = 8000
CHUNK = 64 << 10
behaviour = {"mbit": float(os.environ.get("MBIT", "0")), "busy": 0, "damage": False}
asked: list[str] = []


class Models(http.server.BaseHTTPRequestHandler):
    """One file or one checksum an answer."""

    def do_GET(self) -> None:
        """Answer with a file, its checksum or the list of requests."""
        if self.path == "/control":
            self.answer(json.dumps(asked).encode())
            return
        asked.append(self.path)
        name = unquote(self.path.split("?")[0]).strip("/")
        wanted = name.removesuffix(".sha256")
        if behaviour["busy"] > 0:
            behaviour["busy"] -= 1
            self.send_error(503, "busy; try again")
        elif wanted not in {file.name for file in MODELS.iterdir()}:
            self.send_error(404, "no such model")
        elif name != wanted:
            digest = hashlib.sha256((MODELS / wanted).read_bytes()).hexdigest()
            self.answer(f"{digest}  {wanted}\n".encode())
        else:
            content = (MODELS / wanted).read_bytes()
            middle = len(content) // 2
            self.answer(
                content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
                if behaviour["damage"]
                else content
            )

    def do_POST(self) -> None:
        """Change the behaviour."""
        behaviour.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(b"{}")

    def answer(self, content: bytes) -> None:
        """200, at the speed that is set."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for begin in range(0, len(content), CHUNK):
            self.wfile.write(content[begin : begin + CHUNK])
            if behaviour["mbit"]:
                time.sleep(8 * CHUNK / behaviour["mbit"] / 1e6)

    def log_message(self, *_: object) -> None:
        """Keep quiet: `asked` is the log."""


http.server.ThreadingHTTPServer(("", PORT), Models).serve_forever()
