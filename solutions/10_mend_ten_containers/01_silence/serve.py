"""A page on port 8000, until somebody asks it to end."""

import signal
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler

signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("serving on port 8000", flush=True)
HTTPServer(("0.0.0.0", 8000), SimpleHTTPRequestHandler).serve_forever()
