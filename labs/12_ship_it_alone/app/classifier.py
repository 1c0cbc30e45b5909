"""The model: bytes of a picture in, a chance for each condition out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from app.pictures import decode
from app.settings import Settings

SIDE = 64


class Classifier:
    """ONNX Runtime with one model file. `threads` 0 lets the runtime count the cores itself."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.name = path.name
        self.labels = self._session.get_modelmeta().custom_metadata_map["labels"].split(",")

    def scores(self, data: bytes, max_pixels: int = Settings.max_pixels) -> dict[str, float]:
        """The chance of each condition, rounded to four digits. Raises Refused."""
        picture = decode(data, max_pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255
        (chances,) = self._session.run(None, {"picture": pixels})[0]
        return {label: round(float(chance), 4) for label, chance in zip(self.labels, chances, strict=True)}
