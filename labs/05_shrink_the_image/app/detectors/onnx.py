"""Detection with ONNX Runtime, NumPy and Pillow only."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from app.detectors import Found

GREY = (114, 114, 114)
STRIP = 64  # rows of the smaller picture that are made at a time


class OnnxDetector:
    """Reads a model that Ultralytics exported with its NMS inside: output (1, N, 6) = x1, y1, x2, y2, score, class."""

    backend = "onnxruntime"

    def __init__(self, model: str, threads: int) -> None:
        if not Path(model).is_file():
            raise FileNotFoundError(f"There is no model at {model}.")
        self.model = Path(model).name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        source, output = self.session.get_inputs()[0], self.session.get_outputs()[0]
        if len(output.shape) != 3 or output.shape[-1] != 6:
            raise ValueError(f"{self.model} answers {output.shape}, not (1, N, 6); export it with its NMS inside.")
        if not all(isinstance(side, int) for side in source.shape):
            raise ValueError(f"{self.model} takes {source.shape}; export it with a fixed size.")
        self.input = source.name
        self.height, self.width = source.shape[2:]
        names = self.session.get_modelmeta().custom_metadata_map.get("names", "{}")
        self.names: dict[int, str] = ast.literal_eval(names)

    def detect(self, image: Image.Image, confidence: float) -> list[Found]:
        """Objects on an RGB picture with a score above `confidence`, best first."""
        batch, gain, left, top = self._letterbox(image)
        rows = self.session.run(None, {self.input: batch})[0][0]
        rows = rows[rows[:, 4] > confidence]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        corners = (rows[:, :4] - (left, top, left, top)) / gain
        corners[:, 0::2] = corners[:, 0::2].clip(0, image.width)
        corners[:, 1::2] = corners[:, 1::2].clip(0, image.height)
        return [
            Found(self.names.get(int(kind), str(int(kind))), float(score), *map(float, box))
            for box, score, kind in zip(corners, rows[:, 4], rows[:, 5], strict=True)
        ]

    def _letterbox(self, image: Image.Image) -> tuple[np.ndarray, float, int, int]:
        """Fit the picture into the model's square on grey: batch (1, 3, H, W) of 0..1, gain, left and top padding in pixels."""
        gain = min(self.width / image.width, self.height / image.height)
        width, height = max(1, round(image.width * gain)), max(1, round(image.height * gain))
        # Halves go to the left and the top by the rule of Ultralytics; the model was trained on it.
        left, top = round((self.width - width) / 2 - 0.1), round((self.height - height) / 2 - 0.1)
        canvas = Image.new("RGB", (self.width, self.height), GREY)
        canvas.paste(_resize(image, width, height), (left, top))
        pixels = np.asarray(canvas, dtype=np.float32) / np.float32(255)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis]), gain, left, top


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    """Plain bilinear interpolation, rounded as OpenCV's INTER_LINEAR rounds: the model was trained on it.

    Image.resize() would smooth first, and Image.transform() cuts off the fraction: half a grey level too dark everywhere, enough to
    move scores by 0.03.
    """
    if image.size == (width, height):
        return image
    left, right, near, far = _weights(image.width, width)
    top, bottom, upper, lower = _weights(image.height, height)

    def across(pixels: np.ndarray, lines: np.ndarray) -> np.ndarray:
        rows = np.take(pixels, lines, axis=0)
        mixed = np.take(rows, left, axis=1) * near[:, np.newaxis]
        mixed += np.take(rows, right, axis=1) * far[:, np.newaxis]
        mixed >>= 4  # OpenCV keeps 16 bits for the other direction
        return mixed

    resized = np.empty((height, width, 3), np.uint8)
    for first in range(0, height, STRIP):  # a copy of the whole picture would cost as much memory as the picture
        part = slice(first, first + STRIP)
        start, end = int(top[part][0]), int(bottom[part][-1]) + 1
        pixels = np.asarray(image.crop((0, start, image.width, end)))
        high = across(pixels, top[part] - start) * upper[part, np.newaxis, np.newaxis]
        low = across(pixels, bottom[part] - start) * lower[part, np.newaxis, np.newaxis]
        resized[part] = ((high >> 16) + (low >> 16) + 2) >> 2
    return Image.fromarray(resized)


def _weights(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each target pixel the two source pixels beside its centre and their weights, which add up to 2048."""
    at = (np.arange(target) + 0.5) * (source / target) - 0.5
    low = np.floor(at).astype(np.int32)
    share = np.where((low < 0) | (low >= source - 1), 0, at - low).astype(np.float32)
    low = low.clip(0, source - 1)
    far = np.rint(share * 2048).astype(np.int32)
    return low, np.minimum(low + 1, source - 1), 2048 - far, far
