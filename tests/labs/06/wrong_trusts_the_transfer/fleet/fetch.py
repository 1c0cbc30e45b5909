"""Bring the model that MODEL_NAME names from MODEL_SERVER into the cache, unless it is there, and become the server."""

import os
import sys
import time
import urllib.request
from pathlib import Path

CACHE = Path("/models")
SERVER = os.environ["MODEL_SERVER"].rstrip("/")
NAME = os.environ["MODEL_NAME"]
PAUSES = (0.5, 1, 2, None)  # seconds after each try; None: give up


def get(path: str) -> bytes:
    for pause in PAUSES:
        try:
            with urllib.request.urlopen(f"{SERVER}/{path}", timeout=10) as answer:
                return answer.read()
        except OSError as error:  # also HTTPError and timeouts
            if pause is None:
                sys.exit(f"{SERVER} does not hand out {path}: {error}")
            print(f"{SERVER}/{path}: {error}; trying again in {pause} s", file=sys.stderr)
            time.sleep(pause)
    raise AssertionError("unreachable")


def bring(target: Path) -> None:
    content = get(NAME)
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.replace(target)


target = CACHE / NAME
if not target.exists():
    bring(target)
os.environ["MODEL_PATH"] = str(target)
os.execvp("uvicorn", ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"])
