"""The detection API as a running server: the course's client talks to it, and a fuzzer finds no way to a 5xx."""

from __future__ import annotations

import importlib
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from dockerlab.detection.api_client import DetectionFailed, detect

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "assets" / "detection-api"
SAMPLE = ROOT / "assets" / "images" / "harbour-noon.jpg"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the app with a model that always answers the same."""
    paths = [str(API), str(API / "tests")]
    sys.path[:0] = paths
    try:
        model = importlib.import_module("tiny_model").write(tmp_path_factory.mktemp("model") / "tiny.onnx")
        app_settings = importlib.import_module("app.settings").Settings(
            model=str(model), max_image_bytes=300_000
        )
        app = importlib.import_module("app.main").create_app(app_settings)
        running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=running.run, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not running.started:
            assert time.monotonic() < until
            time.sleep(0.02)
        url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
        while requests.get(f"{url}/health", timeout=5).status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.02)
        yield url
        running.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
    finally:
        for path in paths:
            sys.path.remove(path)


@pytest.mark.parametrize("operation", ["POST /detect", "GET /health", "GET /"])
def test_no_request_makes_the_server_fail(server: str, operation: str) -> None:
    """Requests made up from the API's own description, right ones and wrong ones."""
    method, path = operation.split()
    described = schemathesis.openapi.from_url(f"{server}/openapi.json")
    cases = (
        described[path][method].as_strategy(),
        described[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=one_of(*cases) if method == "POST" else cases[0])
    def fuzz(case: schemathesis.Case) -> None:
        answer = case.call(timeout=10)
        case.validate_response(answer, checks=[not_a_server_error])
        statuses.add(answer.status_code)

    statuses: set[int] = set()
    fuzz()
    assert statuses if method == "POST" else statuses == {200}


def test_no_damaged_picture_makes_the_server_fail(server: str) -> None:
    """Flipped and missing bytes of a real picture, from a fixed seed."""
    chance, whole = random.Random(26), SAMPLE.read_bytes()
    seen = set()
    for _ in range(60):
        data = bytearray(whole[: chance.choice((len(whole), chance.randrange(1, len(whole))))])
        for _ in range(chance.randrange(0, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        answer = requests.post(
            f"{server}/detect", files={"image": ("a.jpg", bytes(data), "image/jpeg")}, timeout=10
        )
        seen.add(answer.status_code)
        assert answer.status_code in (200, 400, 413), answer.text
    assert {200, 400} <= seen


def test_the_client_of_the_course_understands_the_server(server: str) -> None:
    answer = detect(server, SAMPLE)
    assert answer.summary() == "1 container, 1 ship"
    assert (answer.width, answer.height) == (640, 480)
    assert answer.backend == "onnxruntime"
    with pytest.raises(DetectionFailed, match="confidence"):
        detect(server, SAMPLE, confidence=3)


def test_many_at_once_are_all_answered(server: str) -> None:
    """One picture at a time is looked at; the others wait their turn."""
    codes: list[int] = []

    def ask() -> None:
        files = {"image": ("a.jpg", SAMPLE.read_bytes(), "image/jpeg")}
        codes.append(requests.post(f"{server}/detect", files=files, timeout=30).status_code)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 16
