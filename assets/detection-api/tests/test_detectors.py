"""Both back ends see the same pixels and say the same things."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from api_helpers import HERE, IMAGES, WEIGHTS
from app.detectors import Found, load_detector
from app.detectors.onnx import OnnxDetector
from PIL import Image


def opencv_linear(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """What cv2.INTER_LINEAR computes: pixel centres at halves, edges repeated, no smoothing."""

    def axis(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = ((np.arange(target) + 0.5) * source / target - 0.5).clip(0, source - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, source - 1), at - low

    (top, bottom, v), (left, right, h) = axis(pixels.shape[0], height), axis(pixels.shape[1], width)
    v, h = v[:, None, None], h[None, :, None]
    upper = pixels[top][:, left] * (1 - h) + pixels[top][:, right] * h
    lower = pixels[bottom][:, left] * (1 - h) + pixels[bottom][:, right] * h
    return upper * (1 - v) + lower * v


@pytest.mark.parametrize("size", [(640, 480), (100, 37), (37, 100), (64, 64), (30, 20), (1, 900)])
def test_letterbox_is_plain_bilinear_on_grey(tiny: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    batch, gain, left, top = OnnxDetector(str(tiny), 1)._letterbox(Image.fromarray(pixels))
    assert batch.shape == (1, 3, 64, 64)
    assert batch.dtype == np.float32
    width, height = max(1, round(size[0] * gain)), max(1, round(size[1] * gain))
    assert max(width, height) == 64
    square = batch[0].transpose(1, 2, 0) * 255
    inside = square[top : top + height, left : left + width]
    off = inside - opencv_linear(pixels.astype(float), width, height)
    assert np.abs(off).max() <= 1.01
    assert abs(off.mean()) < 0.15, "cut off instead of rounded: every pixel is too dark"
    outside = np.ones((64, 64), bool)
    outside[top : top + height, left : left + width] = False
    assert np.allclose(square[outside], 114, atol=1e-3)


def test_a_file_with_another_output_is_refused(tmp_path: Path) -> None:
    import tiny_model

    with pytest.raises(ValueError, match=r"\(1, N, 6\)"):
        load_detector(str(tiny_model.write(tmp_path / "raw.onnx", (1, 8, 2100))), 1)


def test_another_suffix_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        load_detector("weights.h5", 1)


def test_the_onnx_server_imports_no_heavy_library(tiny: Path) -> None:
    code = (
        "import sys; import app.main; from app.detectors import load_detector\n"
        f"load_detector({str(tiny)!r}, 1)\n"
        "heavy = {'torch', 'cv2', 'ultralytics', 'pydantic_settings', 'numpy.testing', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.strip() == "[]"


def _halve(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(HERE.parent / "halve.py"), str(path)], capture_output=True, text=True, timeout=60)


def test_half_the_precision_is_half_the_file_and_the_same_sum(tmp_path: Path) -> None:
    import onnxruntime
    import tiny_model

    rng = np.random.default_rng(1)
    weights, given = (rng.normal(size=(1, 4000)).astype(np.float32) for _ in range(2))
    path = tiny_model.write_sum(tmp_path / "sum.onnx", weights)
    before = path.stat().st_size
    run = _halve(path)
    assert run.returncode == 0, run.stderr
    assert 0.5 <= path.stat().st_size / before < 0.55
    (answer,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"given": given})
    assert np.abs(answer - given - weights).max() < 2e-3


def test_weights_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    import tiny_model

    path = tiny_model.write_sum(tmp_path / "sum.onnx", np.full((1, 4000), 1e6, np.float32))
    before = path.read_bytes()
    run = _halve(path)
    assert run.returncode == 1
    assert "too large for half precision" in run.stderr and "Traceback" not in run.stderr
    assert path.read_bytes() == before


@pytest.mark.needs_ultralytics
@pytest.mark.parametrize("halved", [False, True], ids=["whole", "halved"])
def test_both_back_ends_agree_on_every_sample(tmp_path: Path, halved: bool) -> None:
    target = tmp_path / "harbour-n.onnx"
    command = [sys.executable, str(HERE.parent / "export.py"), str(WEIGHTS), str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    if halved:
        assert _halve(target).returncode == 0
    torch, onnx = load_detector(str(WEIGHTS), 2), load_detector(str(target), 2)
    assert (torch.backend, onnx.backend) == ("ultralytics", "onnxruntime")
    samples = sorted(IMAGES.glob("*.jpg"))
    assert samples
    found = 0
    for sample in samples:
        full = Image.open(sample).convert("RGB")
        for image in (full, full.resize((507, 333)), full.crop((100, 0, 400, 480))):
            left, right = torch.detect(image, 0.25), onnx.detect(image, 0.25)
            found += len(left)
            assert len(left) == len(right), (sample.name, image.size)
            for one in left:
                assert any(_same(one, other) for other in right), (sample.name, image.size, one)
    assert found > 20


@pytest.mark.needs_ultralytics
def test_the_recorded_answers_are_those_of_the_weights() -> None:
    recorded = json.loads((WEIGHTS.parent / "reference.json").read_text())
    detector = load_detector(str(WEIGHTS), 2)
    assert set(recorded) == {path.name for path in IMAGES.glob("*.jpg")}
    for name, answer in recorded.items():
        found = detector.detect(Image.open(IMAGES / name).convert("RGB"), 0.25)
        written = [Found(each["label"], each["score"], **each["box"]) for each in answer["detections"]]
        assert len(found) == len(written), name
        assert all(any(_same(one, other) for other in found) for one in written), name


def _same(a, b) -> bool:
    wide, high = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    if a.label != b.label or abs(a.score - b.score) > 0.02 or min(wide, high) <= 0:
        return False
    return wide * high >= 0.9 * ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - wide * high)


def test_the_model_card_is_kept() -> None:
    metrics = json.loads((WEIGHTS.parent / "metrics.json").read_text())
    assert metrics["map50"] >= 0.90
    card = (WEIGHTS.parent / "README.md").read_text()
    assert f"{metrics['held_out_scenes']} scenes" in card
    assert all(f"`{name}`" in card for name in metrics["ap50_by_class"])
