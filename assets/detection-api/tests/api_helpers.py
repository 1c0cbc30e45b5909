"""What the tests of the API share."""

from __future__ import annotations

import io
import time
from pathlib import Path

from fastapi.testclient import TestClient
from PIL import Image

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parents[1] / "model" / "harbour-n.pt"
IMAGES = HERE.parents[1] / "images"


def wait_until_loaded(client: TestClient, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while (answer := client.get("/health")).status_code != 200:
        assert time.monotonic() < until, answer.text
        time.sleep(0.02)


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
