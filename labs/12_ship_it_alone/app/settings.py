"""Settings of the service, from the environment. The README lists them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "model" / "walls.onnx"


@dataclass(frozen=True)
class Settings:
    """`threads` 0 leaves the choice to the runtime; `cache_url` "" means no cache; `cache_seconds` is how long an answer is kept.

    Decoding takes up to 16 bytes a pixel: 64 MB of the 256 MB that the box at the gate has.
    """

    token: str = field(repr=False)
    model: Path = DEFAULT_MODEL
    threads: int = 0
    cache_url: str = ""
    cache_seconds: int = 3600
    max_bytes: int = 5_000_000
    max_pixels: int = 4_000_000


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SystemExit with one sentence where they cannot work."""
    token = environ.get("API_TOKEN", "")
    if file := environ.get("API_TOKEN_FILE"):
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SystemExit(f"API_TOKEN_FILE names {file}, which cannot be read: {error.strerror}.") from error
    if not token:
        raise SystemExit("Set API_TOKEN_FILE to a file that holds the token of the gate's cameras, or API_TOKEN to the token.")
    try:
        threads = int(environ.get("THREADS") or 0)
    except ValueError as error:
        raise SystemExit(f"THREADS is {environ['THREADS']!r}, which is not a number.") from error
    return Settings(token, Path(environ.get("MODEL_PATH") or DEFAULT_MODEL), threads, environ.get("CACHE_URL", ""))
