"""A server that needs to know its model."""

import os
from http.server import HTTPServer, SimpleHTTPRequestHandler

model = os.environ["MODEL_NAME"]
print(f"serving {model}", flush=True)
HTTPServer(("0.0.0.0", 8000), SimpleHTTPRequestHandler).serve_forever()
