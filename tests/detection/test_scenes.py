"""The sample pictures show what their names say, and are the scenes that scenes.py draws."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image

from dockerlab.core.settings import ROOT
from dockerlab.detection import api_client

_spec = importlib.util.spec_from_file_location("scenes", ROOT / "assets/model/scenes.py")
assert _spec and _spec.loader
scenes = importlib.util.module_from_spec(_spec)
sys.modules["scenes"] = scenes
_spec.loader.exec_module(scenes)


def test_every_sample_has_a_seed() -> None:
    assert [path.stem for path in api_client.samples()] == sorted(scenes.SAMPLES)


@pytest.mark.parametrize("name", scenes.SAMPLES)
def test_a_sample_shows_the_sky_that_it_is_named_after(name: str) -> None:
    scene = scenes.draw_scene(scenes.SAMPLES[name])
    assert name == f"harbour-{scene.sky}"
    assert {box.label for box in scene.boxes} == set(scenes.CLASSES)
    with Image.open(ROOT / "assets/images" / f"{name}.jpg") as file:
        stored = np.asarray(file.convert("RGB")).astype(float)
    # JPEG blurs the drawn noise a little; another scene differs by far more.
    assert np.abs(stored - np.asarray(scene.image).astype(float)).mean() < 8
