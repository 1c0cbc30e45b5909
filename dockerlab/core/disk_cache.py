"""What was read of images before, kept between runs. Keys are digests of content, so an entry can be missing but never wrong.

Lies in DOCKERLAB_CACHE, by default in the user's cache folder; one small compressed JSON file for each layer and each image.
A folder that cannot be written or a damaged file counts as nothing remembered.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

MOST_ENTRIES = 2000
_VERSION = "3"  # of what an entry means: another way to measure needs another number


def folder() -> Path:
    """Where entries lie."""
    return Path(os.environ.get("DOCKERLAB_CACHE") or user_cache_path("dockerlab")) / f"images-{_VERSION}"


def _file(kind: str, digest: str) -> Path | None:
    match = re.search(r"([0-9a-f]{64})$", digest)
    return folder() / f"{kind}-{match[1]}.json.gz" if match else None


def recall(kind: str, digest: str) -> dict[str, Any] | None:
    """The entry of an `image` or a `layer`, None where there is none."""
    path = _file(kind, digest)
    try:
        entry = json.loads(gzip.decompress(path.read_bytes())) if path else None
        if path:
            with contextlib.suppress(OSError):
                os.utime(path)  # so that what is used stays, however long ago it was read
        return entry
    except (OSError, ValueError, EOFError):
        return None


def remember(kind: str, digest: str, entry: dict[str, Any]) -> None:
    """Keep an entry, whole or not at all; those not used for longest go when there are more than MOST_ENTRIES."""
    path = _file(kind, digest)
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(gzip.compress(json.dumps(entry).encode(), 1))
        Path(name).replace(path)
        entries = sorted(path.parent.glob("*.json.gz"), key=lambda each: each.stat().st_mtime)
        for old in entries[:-MOST_ENTRIES]:
            old.unlink(missing_ok=True)
