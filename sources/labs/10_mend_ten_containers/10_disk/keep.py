"""Keeps 3 MB of answers in /tmp."""

import sys
from pathlib import Path

try:
    Path("/tmp/answers").write_bytes(bytes(3_000_000))
except OSError as error:
    sys.exit(f"cannot keep /tmp/answers: {error.strerror}")
print("kept 3 MB")
