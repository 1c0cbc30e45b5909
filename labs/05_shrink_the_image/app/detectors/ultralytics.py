"""Detection with Ultralytics and PyTorch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from PIL import Image

from app.detectors import Found

# Nothing is installed, reported or written beside the code while a server runs, and a read-only root is enough.
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "ultralytics"))
os.environ.setdefault("MPLCONFIGDIR", os.environ["YOLO_CONFIG_DIR"])


class UltralyticsDetector:
    """Runs `.pt` weights at the size they were trained at."""

    backend = "ultralytics"

    def __init__(self, model: str, threads: int) -> None:
        path = Path(model)
        if path.is_absolute():
            if not path.is_file():
                raise FileNotFoundError(f"There is no model at {model}.")
            # A file that lies here needs no network: no check for updates, no statistics.
            os.environ.setdefault("YOLO_OFFLINE", "true")
        import torch
        from ultralytics import YOLO

        torch.set_num_threads(threads)
        self.model = path.name
        self.yolo = YOLO(model)
        head = self.yolo.model.model[-1]
        size = (getattr(self.yolo.model, "args", None) or {}).get("imgsz", 640)
        # One square for both back ends: the default would cut the padding to the picture's shape and see other pixels.
        self.options: dict[str, object] = {"imgsz": size, "rect": False, "device": "cpu", "verbose": False, "save": False}
        if hasattr(head, "one2one_cv2") or getattr(head, "end2end", False):
            self.options["nms"] = False
        self.detect(Image.new("RGB", (64, 64)), 0.5)

    def detect(self, image: Image.Image, confidence: float) -> list[Found]:
        """Objects on an RGB picture with a score above `confidence`, best first."""
        result = self.yolo.predict(image, conf=confidence, **self.options)[0]
        rows = sorted(result.boxes.data.tolist(), key=lambda row: -row[4])
        return [Found(result.names[int(kind)], score, x1, y1, x2, y2) for x1, y1, x2, y2, score, kind in rows]
