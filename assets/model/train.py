"""Train harbour-n, a YOLO26n detector, from scratch on drawn harbour scenes, and measure it on held-out ones.

    python train.py --out /tmp/harbour            # draws the data, trains, writes harbour-n.pt and metrics.json

Needs the `model` extra of this project (Ultralytics with a CPU or CUDA build of torch). The seed is fixed;
two runs on the same machine and versions give the same weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import scenes

SEED = 26
EPOCHS = 45
TRAIN_SCENES, HELD_OUT_SCENES = 480, 100
IMAGE_SIZE = 320


def train(out: Path, epochs: int, device: str) -> Path:
    """Train and return the path of the best weights, stripped of the optimizer's state."""
    from ultralytics import YOLO

    data = scenes.write_dataset(out / "data", TRAIN_SCENES, HELD_OUT_SCENES)
    model = YOLO("yolo26n.yaml")
    model.train(
        data=str(data), epochs=epochs, imgsz=IMAGE_SIZE, batch=16, device=device, seed=SEED, deterministic=True,
        pretrained=False, amp=False, workers=1, patience=0, close_mosaic=max(1, epochs // 5), optimizer="AdamW", lr0=0.002,
        warmup_epochs=2, scale=0.3, nms=False, plots=False, project=str(out), name="run", exist_ok=True, verbose=True,
    )
    weights = out / "harbour-n.pt"
    shutil.copy(out / "run" / "weights" / "best.pt", weights)
    return weights


def evaluate(weights: Path, out: Path, device: str) -> dict[str, object]:
    """mAP on the held-out scenes, over all classes and for each (COCO definition, as Ultralytics computes it)."""
    from ultralytics import YOLO

    data = scenes.write_dataset(out / "data", 0, HELD_OUT_SCENES)
    result = YOLO(weights).val(data=str(data), imgsz=IMAGE_SIZE, device=device, nms=False, plots=False, project=str(out), name="val", exist_ok=True)
    return {
        "held_out_scenes": HELD_OUT_SCENES,
        "image_size_px": IMAGE_SIZE,
        "map50": round(float(result.box.map50), 4),
        "map50_95": round(float(result.box.map), 4),
        "ap50_by_class": {name: round(float(ap), 4) for name, ap in zip(scenes.CLASSES, result.box.ap50, strict=True)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the data, the run and the weights")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only-evaluate", type=Path, metavar="WEIGHTS", help="measure these weights, train nothing")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    weights = args.only_evaluate or train(args.out, args.epochs, args.device)
    metrics = evaluate(weights, args.out, args.device)
    (args.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
