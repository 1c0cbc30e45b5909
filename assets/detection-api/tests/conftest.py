"""A client of the app for each back end that is asked for: ONNX Runtime alone, unless `--back-end` names others.

Nothing is skipped: a test that needs a back end which nobody asked for is not collected. The image of tests/Dockerfile asks for both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from api_helpers import WEIGHTS, encode, wait_until_loaded  # noqa: E402
from app.main import create_app  # noqa: E402
from app.settings import Settings  # noqa: E402

BACK_ENDS = ("onnxruntime", "ultralytics")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--back-end", action="append", choices=BACK_ENDS, help="test with this back end; may be given twice; default: onnxruntime")


def _asked_for(config: pytest.Config) -> list[str]:
    return config.getoption("--back-end") or ["onnxruntime"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_ultralytics: compares with PyTorch itself")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "api" in metafunc.fixturenames:
        metafunc.parametrize("api", _asked_for(metafunc.config), indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "ultralytics" not in _asked_for(config):
        items[:] = [item for item in items if not item.get_closest_marker("needs_ultralytics")]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_model

    return tiny_model.write(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def api(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    model = WEIGHTS if request.param == "ultralytics" else request.getfixturevalue("tiny")
    settings = Settings(model=str(model), max_image_bytes=400_000, max_pixels=2_000_000)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until_loaded(client)
        yield client


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return encode(Image.new("RGB", (128, 64), (40, 90, 120)))
