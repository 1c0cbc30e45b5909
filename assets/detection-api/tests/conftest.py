"""A client of the app for each back end that this environment holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from api_helpers import HAS_ULTRALYTICS, WEIGHTS, encode, wait_until_loaded  # noqa: E402
from app.main import create_app  # noqa: E402
from app.settings import Settings  # noqa: E402


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_model

    return tiny_model.write(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session", params=["onnxruntime", "ultralytics"])
def api(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    if request.param == "ultralytics":
        if not HAS_ULTRALYTICS:
            pytest.skip("Ultralytics is not installed here")
        model = WEIGHTS
    else:
        model = request.getfixturevalue("tiny")
    settings = Settings(model=str(model), max_image_bytes=400_000, max_pixels=2_000_000)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_until_loaded(client)
        yield client


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return encode(Image.new("RGB", (128, 64), (40, 90, 120)))
