"""The harbour's board: every second one line about what the API has seen. It knows the API, and nothing of its neighbours."""

import json
import signal
import sys
import time
import urllib.request

GREETING = "seen so far"

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    try:
        with urllib.request.urlopen("http://api:8000/stats", timeout=2) as answer:
            stats = json.load(answer)
        print(f"{GREETING}: {stats['objects']} objects in {stats['rows']} pictures", flush=True)
    except OSError as error:
        print(f"the API does not answer: {error}", flush=True)
    time.sleep(1)
