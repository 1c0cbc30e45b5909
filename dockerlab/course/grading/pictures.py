"""Harbour scenes drawn for one check, so that no table of known answers fits: what a detector finds is compared with what was drawn."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from dockerlab.core.settings import ROOT
from dockerlab.course.grading.judging import Outcome
from dockerlab.detection import api_client
from dockerlab.detection.api_client import Answer, Detection

SCENES = ROOT / "assets/model/scenes.py"
FIRST, LAST = 3_000_000, 2**40  # seeds that neither training nor the course's own pictures use
FEWEST = 5  # objects in a scene
OVERLAP = 0.5  # of a box that was found with the one that was drawn
ENOUGH, ONE = (
    0.75,
    0.6,
)  # of the boxes of several scenes, and of one, that fit: with the course's model 0.93 on average, 0.8 in the worst of 45


@dataclass(frozen=True)
class Scene:
    """A picture as a file, and the boxes of what is on it."""

    path: Path
    boxes: tuple[Detection, ...]


@cache
def _drawing() -> ModuleType:
    """assets/model/scenes.py as a module: the model's training knows it as a program."""
    spec = importlib.util.spec_from_file_location("dockerlab_scenes", SCENES)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its data classes look themselves up there
    spec.loader.exec_module(module)
    return module


def draw(folder: Path, count: int = 3, chance: random.Random | None = None) -> list[Scene]:
    """Draw scenes that nobody has seen into a folder, as JPEG files that anybody may read."""
    chance = chance or random.SystemRandom()
    made: list[Scene] = []
    while len(made) < count:
        seed = chance.randrange(FIRST, LAST)
        scene = _drawing().draw_scene(seed)
        if len(scene.boxes) >= FEWEST:
            path = folder / f"harbour-{seed}.jpg"
            scene.image.save(path, quality=92)
            path.chmod(0o644)
            made.append(
                Scene(
                    path,
                    tuple(Detection(box.label, 1.0, box.x1, box.y1, box.x2, box.y2) for box in scene.boxes),
                )
            )
    return made


def share(scene: Scene, answer: Answer, names: Mapping[str, str] | None = None) -> float:
    """The share of all boxes, drawn and found, that fit one another: 1.0 where just what was drawn is found. Pure.

    `names` are the labels that the model has in place of the drawn ones.
    """
    pairs = sorted(
        (-one.iou(other), i, j)
        for i, one in enumerate(scene.boxes)
        for j, other in enumerate(answer.detections)
        if (names or {}).get(one.label, one.label) == other.label and one.iou(other) >= OVERLAP
    )
    drawn, found = set[int](), set[int]()
    for _, i, j in pairs:
        if i not in drawn and j not in found:
            drawn.add(i)
            found.add(j)
    return 2 * len(drawn) / (len(scene.boxes) + len(answer.detections))


def judged(url: str, folder: Path) -> Outcome:
    """Whether an API finds the boxes of PyTorch on every sample picture, and what was drawn on scenes that nobody has seen. Asks the API."""
    wanted = api_client.recorded()
    shares = [
        api_client.agreement(wanted[picture.name], api_client.detect(url, picture))
        for picture in api_client.samples()
    ]
    if min(shares) < 1:
        return Outcome(False, f"{sum(shares) / len(shares):.0%} of the boxes on {len(shares)} pictures")
    scenes = draw(folder)
    fits = sum(share(scene, api_client.detect(url, scene.path)) for scene in scenes) / len(scenes)
    return Outcome(
        fits >= ENOUGH,
        f"100% of the boxes on {len(shares)} pictures"
        + ("" if fits >= ENOUGH else f", and {fits:.0%} on pictures that are new"),
    )
