"""The lowest versions that pyproject.toml allows, installed for real: every module can be imported with them, and the tests that need no engine pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockerlab.core.settings import ROOT

pytestmark = pytest.mark.nightly
UV = Path(sys.executable).with_name("uv")
# Modules that begin with _ are programs that run in containers, but for the generated one.
IMPORT_ALL = """
import importlib, pkgutil, dockerlab
for module in pkgutil.walk_packages(dockerlab.__path__, "dockerlab."):
    if not module.name.rpartition(".")[2].startswith("_") or module.name.endswith("_pb2"):
        importlib.import_module(module.name)
"""
# One for each library whose floor matters: traces (protobuf), manifests (cfn-lint, kubernetes-validate, jsonschema), notebooks (jupytext), charts
# (matplotlib, pandas), compression (isal, zstandard), the detection API (fastapi, pillow, onnxruntime).
PURE = ("tests/images/test_build_trace.py", "tests/lessons/lesson11_production/test_manifests.py",
        "tests/course/test_build_course.py", "tests/notebook/test_charts.py", "tests/images/test_image.py",
        "tests/detection/test_detection_api.py", "assets/detection-api/tests")  # fmt: skip


@pytest.fixture(scope="module")
def lowest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python 3.11 with the lowest version of everything that the project names; about 90 seconds."""
    folder = tmp_path_factory.mktemp("floor") / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", "3.11", folder], check=True, timeout=300)
    install = [
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        folder / "bin/python",
        "--resolution",
        "lowest-direct",
        "-r",
        "pyproject.toml",
        "--extra",
        "all",
    ]
    subprocess.run(install, cwd=ROOT, check=True, timeout=1200)
    return folder / "bin/python"


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run in the checkout with that Python, without an engine."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    return subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_every_module_can_be_imported(lowest: Path) -> None:
    done = run(lowest, "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_needs_no_engine_works(lowest: Path) -> None:
    done = run(
        lowest,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not engine and not nightly and not twice and not every",
        *PURE,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-4000:] + done.stderr[-2000:]
