"""Answers /health on port 8000: 200, or 503 where MOOD is ill."""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    """Knows one page."""

    def do_GET(self) -> None:
        """Say how it is."""
        self.send_response(503 if os.environ.get("MOOD") == "ill" else 200)
        self.end_headers()


HTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
