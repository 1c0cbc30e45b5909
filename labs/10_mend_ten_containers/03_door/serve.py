"""A page on port 8000 of HOST."""

import os
from http.server import HTTPServer, SimpleHTTPRequestHandler

host = os.environ.get("HOST", "127.0.0.1")
print(f"serving on {host}:8000", flush=True)
HTTPServer((host, 8000), SimpleHTTPRequestHandler).serve_forever()
