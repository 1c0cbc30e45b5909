"""Detection with ONNX Runtime, NumPy and Pillow only."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from app.detectors import Found

GREY = (114, 114, 114)


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
    """Plain bilinear interpolation without smoothing, as OpenCV's INTER_LINEAR: Image.resize() would smooth first."""
    if image.size == (width, height):
        return image
    steps = (image.width / width, 0, 0, 0, image.height / height, 0)
    return image.transform((width, height), Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR)
