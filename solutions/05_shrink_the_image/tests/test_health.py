"""The developers' own test, run with `pytest` in the image."""

from app.main import create_app
from app.settings import Settings
from fastapi.testclient import TestClient


def test_it_says_when_there_is_no_model() -> None:
    with TestClient(create_app(Settings(model="/nowhere/model.onnx"))) as client:
        assert client.get("/health").status_code == 503
