"""The API's own tests run where both back ends are: in an image, all of them, none skipped."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from dockerlab.detection import wheel_index
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.images.build import build

ASSETS = Path(__file__).resolve().parents[2] / "assets"
TESTS = ASSETS / "detection-api" / "tests"
TAG = "dockerlab-api-tests:both"


def _collected(*back_ends: str) -> list[str]:
    """The tests that pytest finds here for these back ends; neither needs to be installed for that."""
    options = [word for name in back_ends for word in ("--back-end", name)]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        *options,
        str(TESTS),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=TESTS)
    return [line for line in run.stdout.splitlines() if "::" in line]


def test_without_the_option_nothing_asks_for_ultralytics() -> None:
    alone, both = _collected(), _collected("onnxruntime", "ultralytics")
    assert not [name for name in alone if "ultralytics" in name]
    assert len([name for name in both if "[ultralytics" in name]) >= 25
    assert len(both) > len(alone) > 60


@pytest.mark.engine
def test_every_test_of_the_api_passes_in_the_image(client: docker.DockerClient) -> None:
    """PyTorch's layers are those of the multi-stage rung, so they come from the cache where lesson 00 was built."""
    base_images.ensure(base_images.SLIM, client)
    build(
        ASSETS,
        dockerfile="detection-api/tests/Dockerfile",
        tag=TAG,
        buildargs={"TORCH_INDEX": wheel_index.torch_index(client)},
        client=client,
    )
    said = client.containers.run(
        TAG, remove=True, network_mode="none", labels=object_labels.labels(kind="test")
    ).decode()
    assert re.search(
        rf"^{len(_collected('onnxruntime', 'ultralytics'))} passed(, \d+ warnings?)? in ", said, re.MULTILINE
    ), said[-3000:]
    assert not re.search(r"\d+ (skipped|failed|errors?|xfailed|xpassed|deselected)", said), said[-3000:]
