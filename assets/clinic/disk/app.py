"""Keeps 3 MB of answers in /tmp, and tries again where that fails."""

import time
from pathlib import Path

while True:
    try:
        Path("/tmp/answers").write_bytes(bytes(3_000_000))
        print("kept 3 MB in /tmp/answers")
    except OSError as error:
        print(f"cannot keep /tmp/answers: {error.strerror}")
    time.sleep(0.5)
