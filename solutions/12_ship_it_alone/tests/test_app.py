"""What the service promises: conditions of known walls, a token, a cache that may be missing."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from app import settings
from app.cache import Cache
from app.main import create_app
from fastapi.testclient import TestClient
from PIL import Image

HERE = Path(__file__).resolve().parent.parent
SAMPLES = sorted((HERE / "samples").glob("*.png"))
PLAIN = settings.Settings("a-token", threads=1)
ALLOWED = {"Authorization": "Bearer a-token"}


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(PLAIN))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_wall_gets_its_condition(client: TestClient, path: Path) -> None:
    answer = client.post("/inspect", files={"image": path.read_bytes()}, headers=ALLOWED).json()
    assert answer["label"] == path.stem.split("-")[0]
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=0.001)


def test_without_the_token_there_is_no_answer(client: TestClient) -> None:
    picture = SAMPLES[0].read_bytes()
    assert client.post("/inspect", files={"image": picture}).status_code == 401
    assert client.post("/inspect", files={"image": picture}, headers={"Authorization": "Bearer other"}).status_code == 401


def test_what_is_no_picture_is_refused(client: TestClient) -> None:
    assert client.post("/inspect", files={"image": b"no picture"}, headers=ALLOWED).status_code == 400
    small = TestClient(create_app(replace(PLAIN, max_bytes=10)))
    assert small.post("/inspect", files={"image": b"x" * 11}, headers=ALLOWED).status_code == 413


def test_a_picture_of_too_many_pixels_is_refused(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("1", (2001, 2000)).save(buffer, "PNG")
    answer = client.post("/inspect", files={"image": buffer.getvalue()}, headers=ALLOWED)
    assert answer.status_code == 413 and "pixels" in answer.json()["detail"]


def test_one_picture_at_a_time_is_taken(client: TestClient) -> None:
    picture = ("image", ("a.png", SAMPLES[0].read_bytes(), "image/png"))
    assert client.post("/inspect", files=[picture, picture], headers=ALLOWED).status_code == 422


@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("GET", "/nothing"), ("POST", "/inspect")])
def test_no_answer_lets_a_browser_guess(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).headers["x-content-type-options"] == "nosniff"


def test_health_says_whether_the_model_is_there(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "model": "walls.onnx"}
    broken = TestClient(create_app(replace(PLAIN, model=Path("/nowhere.onnx"))))
    assert broken.get("/health").status_code == 503
    assert broken.post("/inspect", files={"image": b"x"}, headers=ALLOWED).status_code == 503


class Memory:
    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self.kept.get(key)

    def set(self, key: str, value: str, ex: int) -> None:
        self.kept[key] = value


class Broken:
    def get(self, key: str) -> str | None:
        raise ConnectionError("no route")

    def set(self, key: str, value: str, ex: int) -> None:
        raise ConnectionError("no route")


@pytest.mark.parametrize(("behind", "second"), [(Memory, True), (Broken, False)])
def test_the_second_answer_comes_from_the_cache_if_there_is_one(monkeypatch: pytest.MonkeyPatch, behind: type, second: bool) -> None:
    shared = behind()
    monkeypatch.setattr(Cache, "__init__", lambda self, url, seconds: self.__dict__.update(_seconds=seconds, _client=shared))
    client = TestClient(create_app(PLAIN))
    answers = [client.post("/inspect", files={"image": SAMPLES[0].read_bytes()}, headers=ALLOWED).json() for _ in range(2)]
    assert [answer["cached"] for answer in answers] == [False, second]
    assert answers[0]["scores"] == answers[1]["scores"]


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("from-a-file\n")
    assert settings.load({"API_TOKEN": "plain"}).token == "plain"
    assert settings.load({"API_TOKEN": "plain", "API_TOKEN_FILE": str(secret), "THREADS": "2"}).token == "from-a-file"
    for wrong in ({}, {"API_TOKEN_FILE": "/nowhere"}, {"API_TOKEN": "x", "THREADS": "many"}):
        with pytest.raises(SystemExit):
            settings.load(wrong)
    assert "plain" not in repr(settings.load({"API_TOKEN": "plain"}))
