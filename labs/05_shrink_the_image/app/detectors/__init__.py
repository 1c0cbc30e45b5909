"""What a detector is, and which one reads which file."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple, Protocol

from PIL.Image import Image


class Found(NamedTuple):
    """One object: corners in pixels of the picture, score from 0 to 1."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


class Detector(Protocol):
    """Both back ends letterbox to the same square and use no NMS where the model's head needs none."""

    model: str
    backend: str

    def detect(self, image: Image, confidence: float) -> list[Found]:
        """Objects on an RGB picture with a score above `confidence`, best first."""
        ...


def load_detector(model: str, threads: int) -> Detector:
    """`.onnx` -> ONNX Runtime, `.pt` -> Ultralytics. Raises ValueError for another suffix; OSError without a file."""
    suffix = PurePath(model).suffix
    if suffix == ".onnx":
        from app.detectors.onnx import OnnxDetector

        return OnnxDetector(model, threads)
    if suffix == ".pt":
        from app.detectors.ultralytics import UltralyticsDetector

        return UltralyticsDetector(model, threads)
    raise ValueError(f"The model {model!r} ends neither in .onnx nor in .pt.")
