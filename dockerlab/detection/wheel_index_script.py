"""Runs inside a container: serve /wheels as a simple repository API (PEP 503), send other projects to the next index."""

import http.server
import os
import re
import shutil
import urllib.parse
from pathlib import Path

WHEELS = Path("/wheels")
PORT = 8901


def next_index() -> str:
    """The site's index, else the one that pip asks when nobody tells it otherwise."""
    if os.environ.get("NEXT_INDEX"):
        return os.environ["NEXT_INDEX"].rstrip("/")
    from pip._internal.models.index import PyPI

    return PyPI.simple_url.rstrip("/")


class Index(http.server.BaseHTTPRequestHandler):
    """/<project>/ lists that project's wheels; /files/<name> is one of them."""

    def do_GET(self) -> None:
        """Answer one request."""
        parts = [urllib.parse.unquote(part) for part in self.path.split("?")[0].strip("/").split("/")]
        if len(parts) == 2 and parts[0] == "files" and parts[1] in {file.name for file in WHEELS.iterdir()}:
            self.send_file(WHEELS / parts[1])
            return
        project = re.sub(r"[-_.]+", "-", parts[-1]).lower()
        if not re.fullmatch(
            r"[a-z0-9-]+", project
        ):  # what a project may be called (PEP 508); anything else would get into a header
            self.send_error(404)
            return
        names = [
            file.name
            for file in WHEELS.glob("*.whl")
            if re.sub(r"[-_.]+", "-", file.name.split("-")[0]).lower() == project
        ]
        if names:
            body = "".join(
                f'<a href="/files/{urllib.parse.quote(name)}">{name}</a>' for name in names
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(302)
            self.send_header("Location", f"{next_index()}/{project}/")
            self.end_headers()

    def send_file(self, file: Path) -> None:
        """Stream one wheel."""
        self.send_response(200)
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        with file.open("rb") as source:
            shutil.copyfileobj(source, self.wfile)


http.server.ThreadingHTTPServer(("", PORT), Index).serve_forever()
