"""What becomes of the stages of a build: what each weighs, what of it ships, and what the weights find in the stage that exports them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import docker

from dockerlab.core.settings import ROOT
from dockerlab.detection import api_client
from dockerlab.engine import object_labels
from dockerlab.images import build_plan, dockerfile
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.image_report import ImageReport

TESTS = ROOT / "assets" / "detection-api" / "tests"
# Files of the root file system alone; what is mounted into a container (/proc, /sys, /dev) has another device.
_WEIGH = """
import os
def total(folder, device):
    size = 0
    for entry in os.scandir(folder):
        status = entry.stat(follow_symlinks=False)
        if status.st_dev == device:
            size += total(entry.path, device) if entry.is_dir(follow_symlinks=False) else status.st_size
    return size
print(total('/', os.stat('/').st_dev))
"""
_ASK = """
import json, pathlib
from PIL import Image
from app.detectors import load_detector
detector = load_detector('/export/harbour-n.pt', 2)
pictures = {path.name: Image.open(path).convert('RGB') for path in pathlib.Path('/pictures').glob('*.jpg')}
print(json.dumps({name: [picture.size, detector.detect(picture, 0.25)] for name, picture in pictures.items()}))
"""


def seen_bytes(image: str, client: docker.DockerClient) -> int:
    """Bytes of all files that a container of this image sees; what a later layer hides does not count. Needs Python in it. Asks the engine.

    Cheaper than reading the layers of an image that never ships.
    """
    options = {
        "user": "0",
        "remove": True,
        "network_mode": "none",
        "labels": object_labels.labels(kind="container"),
    }
    said = client.containers.run(image, ["-c", _WEIGH], entrypoint="python3", **options)
    return int(said)


def shipped(text: str, report: ImageReport) -> dict[str, int]:
    """Stage -> bytes that the last stage of this Dockerfile copies from it; `report` is the image that was built of it."""
    planned = build_plan.plan(dockerfile.parse(text))
    sizes = [(layer.instruction, layer.disk_bytes) for layer in report.layers]
    found: dict[str, int] = {}
    for step in planned[-1].steps:
        origin = step.instruction.flag("from")
        if step.instruction.keyword == "COPY" and origin:
            number = build_plan.stage_named(origin, planned[:-1])
            stage = origin if number is None else planned[number].stage.name or str(number)
            place = next((at for at, (name, _) in enumerate(sizes) if name == _in_history(step)), None)
            found[stage] = found.get(stage, 0) + (sizes.pop(place)[1] if place is not None else 0)
    return found


def _in_history(step: build_plan.Planned) -> str:
    """A COPY as BuildKit writes it into the history of an image: of its flags only those that change what is copied, variables replaced."""
    flags = [f"--{name}" if name == "parents" else f"--{name}={step.scope.expand(step.instruction.flag(name))}" for name in ("parents", "chown", "chmod")
             if step.instruction.flag(name) or name == "parents" and step.instruction.is_set(name)]  # fmt: skip
    *sources, target = [step.scope.expand(word) for word in step.instruction.words] or [""]
    return " ".join(
        [
            step.instruction.keyword,
            *flags,
            *sources,
            *(f"<<{heredoc.name}" for heredoc in step.instruction.heredocs),
            target,
        ]
    )


def span(report: BuildReport, stage: str) -> tuple[float, float]:
    """When the first step of a stage that ran began and when its last one ended, in seconds; (0, 0) where none ran."""
    ran = [step for step in report.instructions if step.stage == stage and not step.cached]
    return (min(step.started for step in ran), max(_end(step) for step in ran)) if ran else (0.0, 0.0)


def together(report: BuildReport, first: str, second: str) -> float:
    """Seconds during which both stages were at work."""
    (a, b), (c, d) = span(report, first), span(report, second)
    return max(0.0, min(b, d) - max(a, c))


def bring_tests(context: Path, dockerfiles: Sequence[str]) -> None:
    """Lay the API's own tests into a context, and let these Dockerfiles see them: the context's .dockerignore leaves tests out."""
    (context / "tests").mkdir(exist_ok=True)
    for name in ("conftest.py", "api_helpers.py", "tiny_model.py", "test_contract.py"):
        shutil.copy(TESTS / name, context / "tests")
    for name in dockerfiles:
        (context / f"{name}.dockerignore").write_text("**/__pycache__\n", encoding="utf-8")


def _end(step: Step) -> float:
    return step.started + step.seconds


def torch_answers(
    image: str, app: Path, pictures: Sequence[Path], client: docker.DockerClient
) -> dict[str, api_client.Answer]:
    """What the weights in /export of this image find with PyTorch on each picture, by file name. Asks the engine.

    `app` is the folder of the API's code, whose detector is used; both folders are mounted read-only.
    """
    said = client.containers.run(
        image, ["python", "-c", _ASK], environment={"PYTHONPATH": "/code"}, remove=True, stderr=False, network_mode="none",
        volumes={str(app.resolve()): {"bind": "/code/app", "mode": "ro"}, str(pictures[0].resolve().parent): {"bind": "/pictures", "mode": "ro"}},
        labels=object_labels.labels(kind="container"),
    )  # fmt: skip
    return read_answers(said.decode(), {path.name for path in pictures})


def read_answers(text: str, names: set[str]) -> dict[str, api_client.Answer]:
    """The last line of what the detector printed, for the pictures asked for."""
    found = json.loads(text.strip().splitlines()[-1])
    return {
        name: api_client.Answer("harbour-n.pt", "ultralytics", width, height, tuple(api_client.Detection(*each) for each in detections))
        for name, ((width, height), detections) in found.items() if name in names
    }  # fmt: skip
