"""Settings of the server, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL_FOLDER = "/app/model"
DEFAULT_MODEL = "harbour-n.onnx"


@dataclass(frozen=True)
class Settings:
    """`model` is a path, or the bare name of weights that Ultralytics downloads (`yolov8n.pt`)."""

    model: str = f"{MODEL_FOLDER}/{DEFAULT_MODEL}"
    confidence: float = 0.25
    max_image_bytes: int = 10_000_000
    max_pixels: int = 12_500_000  # what phones take; decoding takes up to 16 bytes a pixel, so 200 MB

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"CONFIDENCE is {self.confidence}; it has to lie between 0 and 1.")
        if self.max_image_bytes < 1 or self.max_pixels < 1:
            raise ValueError("MAX_IMAGE_BYTES and MAX_PIXELS have to be positive.")


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """MODEL_PATH, MODEL_NAME, CONFIDENCE, MAX_IMAGE_BYTES, MAX_PIXELS. Raises ValueError with the variable's name.

    MODEL_PATH wins. MODEL_NAME is looked for in /app/model first and is handed on bare when it is not there.
    """
    name = environ.get("MODEL_NAME") or DEFAULT_MODEL
    local = Path(MODEL_FOLDER) / name
    bare = environ.get("MODEL_NAME") and name.endswith(".pt") and not local.exists()
    model = environ.get("MODEL_PATH") or (name if bare else str(local))
    return Settings(
        model=model,
        confidence=_number(environ, "CONFIDENCE", Settings.confidence, float),
        max_image_bytes=_number(environ, "MAX_IMAGE_BYTES", Settings.max_image_bytes, int),
        max_pixels=_number(environ, "MAX_PIXELS", Settings.max_pixels, int),
    )


def _number(environ: Mapping[str, str], name: str, default: float, kind: type) -> float | int:
    try:
        return kind(environ.get(name) or default)
    except ValueError as error:
        raise ValueError(f"{name} is {environ[name]!r}, which is not a number.") from error
