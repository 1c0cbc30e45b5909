"""Turn weights into an ONNX file that the API can serve: `python export.py harbour-n.pt model/harbour-n.onnx`.

The file takes one square picture (1, 3, size, size) and answers (1, N, 6) = x1, y1, x2, y2, score, class, so the
server needs no NMS of its own. Exit code 1 with one sentence when the result has another shape.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Otherwise the exporter runs pip by itself when a package is missing.
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

OPSET = 17


def export(weights: str, target: Path, size: int) -> None:
    """Write `target`. Raises ValueError when its output is not (1, N, 6) or its input not (1, 3, size, size)."""
    import onnx
    from ultralytics import YOLO

    # The exporter writes beside the weights, which may be read-only; a bare name is downloaded.
    with tempfile.TemporaryDirectory() as folder:
        if Path(weights).exists():
            weights = shutil.copy(weights, folder)
        model = YOLO(weights)
        # A head without NMS is exported as it is; any other gets its NMS inside the file.
        ends = hasattr(model.model.model[-1], "one2one_cv2")
        made = Path(model.export(format="onnx", imgsz=size, nms=not ends, simplify=False, opset=OPSET, device="cpu"))
        graph = onnx.load(made).graph
        takes, answers = (_shape(values[0]) for values in (graph.input, graph.output))
        if takes != [1, 3, size, size] or len(answers) != 3 or answers[0] != 1 or answers[2] != 6:
            raise ValueError(f"The model takes {takes} and answers {answers}; wanted [1, 3, {size}, {size}] and [1, N, 6].")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, {takes} -> {answers}")


def _shape(value: object) -> list[int]:
    return [axis.dim_value for axis in value.type.tensor_type.shape.dim]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="a .pt file, or a bare name that Ultralytics downloads")
    parser.add_argument("target", type=Path, help="the .onnx file to write")
    parser.add_argument("--size", type=int, default=320, help="side of the model's square in pixels")
    args = parser.parse_args()
    try:
        export(args.weights, args.target, args.size)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
