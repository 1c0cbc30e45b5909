"""The contract of POST /detect, GET /health and GET /, which both back ends keep."""

from __future__ import annotations

import base64
import hashlib
import re
import tempfile
import threading

import pytest
from api_helpers import encode, wait_until_loaded
from app.main import create_app
from app.settings import Settings
from fastapi.testclient import TestClient
from PIL import Image


def send(api: TestClient, data: bytes, kind: str = "image/jpeg", **query: object):
    return api.post("/detect", files={"image": ("a", data, kind)}, params=query)


def refused(answer, status: int, says: str) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["detail"]
    assert says in body["detail"]
    assert "Traceback" not in answer.text


def test_answer_has_the_promised_shape(api: TestClient, jpeg: bytes) -> None:
    answer = send(api, jpeg)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"model", "backend", "image", "detections", "milliseconds"}
    assert body["image"] == {"width": 128, "height": 64}
    assert set(body["milliseconds"]) == {"decode", "inference", "total"}
    assert body["milliseconds"]["total"] >= body["milliseconds"]["inference"] > 0
    health = api.get("/health")
    assert health.json() == {"status": "ok", "model": body["model"], "backend": body["backend"]}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_each_format_is_read(api: TestClient, kind: str) -> None:
    assert send(api, encode(Image.new("RGB", (64, 48)), kind), f"image/{kind.lower()}").status_code == 200


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16", "1"])
def test_each_mode_is_read(api: TestClient, mode: str) -> None:
    assert send(api, encode(Image.new(mode, (50, 40)), "PNG"), "image/png").status_code == 200


@pytest.mark.parametrize("size", [(1, 1), (1, 1500), (1500, 1), (333, 77)])
def test_odd_sizes_are_read(api: TestClient, size: tuple[int, int]) -> None:
    assert send(api, encode(Image.new("RGB", size), "PNG"), "image/png", confidence=0).status_code == 200


def test_picture_is_turned_upright(api: TestClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert send(api, encode(Image.new("RGB", (128, 64)), exif=exif)).json()["image"] == {"width": 64, "height": 128}


def test_not_an_image_is_400(api: TestClient) -> None:
    refused(send(api, b"hello"), 400, "not a picture")
    refused(send(api, b""), 400, "empty")
    refused(send(api, encode(Image.new("RGB", (9, 9)), "GIF"), "image/gif"), 400, "not a picture")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_cut_short_is_400(api: TestClient, kind: str) -> None:
    whole = encode(Image.effect_noise((200, 200), 80).convert("RGB"), kind)
    refused(send(api, whole[: len(whole) // 2]), 400, "")


def test_too_large_is_413(api: TestClient) -> None:
    refused(send(api, bytes(450_000)), 413, "400000")
    refused(send(api, bytes(600_000)), 413, "400000")
    refused(send(api, encode(Image.new("1", (2001, 1000)), "PNG"), "image/png"), 413, "pixels")


def test_too_large_without_a_length_is_413(api: TestClient) -> None:
    """A chunked upload states no length; it has to be counted."""
    chunks = (b"--b\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n", *([bytes(50_000)] * 20))
    answer = api.post("/detect", content=iter(chunks), headers={"content-type": "multipart/form-data; boundary=b"})
    refused(answer, 413, "400000")


def test_wrong_type_is_415(api: TestClient, jpeg: bytes) -> None:
    refused(send(api, jpeg, "text/plain"), 415, "text/plain")
    refused(api.post("/detect", json={"image": "x"}), 415, "multipart")
    assert send(api, jpeg, "application/octet-stream").status_code == 200


def test_missing_or_wrong_argument_is_422(api: TestClient, jpeg: bytes) -> None:
    refused(api.post("/detect"), 422, "image")
    refused(api.post("/detect", files={"picture": ("a", jpeg, "image/jpeg")}), 422, "image")
    for wrong in ("-0.1", "1.1", "nan", "inf", "many"):
        refused(send(api, jpeg, confidence=wrong), 422, "confidence")


def test_broken_multipart_is_400(api: TestClient) -> None:
    answer = api.post("/detect", content=b"no boundary here", headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code in (400, 422)
    refused(api.post("/detect", content=b"x", headers={"content-type": "multipart/form-data"}), 400, "")


def test_threshold_keeps_only_higher_scores(api: TestClient, jpeg: bytes) -> None:
    every = send(api, jpeg, confidence=0).json()["detections"]
    scores = [each["score"] for each in every]
    assert scores == sorted(scores, reverse=True)
    assert all(each["score"] > 0.4 for each in send(api, jpeg, confidence=0.4).json()["detections"])
    assert send(api, jpeg, confidence=1).json()["detections"] == []


def test_boxes_are_pixels_of_the_picture_that_was_sent(tiny, jpeg: bytes) -> None:
    """The tiny model's square of 64 holds 128 x 64 at half size, 16 pixels of grey above and below."""
    with TestClient(create_app(Settings(model=str(tiny)))) as client:
        wait_until_loaded(client)
        first, second = send(client, jpeg).json()["detections"]
    assert first == {"label": "container", "score": 0.9, "box": {"x1": 32, "y1": 16, "x2": 64, "y2": 48}}
    assert second == {"label": "ship", "score": 0.5, "box": {"x1": 80, "y1": 8, "x2": 128, "y2": 56}}


@pytest.mark.parametrize(("path", "shows"), [("/", "<canvas"), ("/docs", "openapi.json")])
def test_pages_need_nothing_from_elsewhere_and_may_have_nothing(api: TestClient, path: str, shows: str) -> None:
    page = api.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert shows in page.text
    assert "http" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
    for tag in ("script", "style"):
        text = page.text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert not re.search(r"\s(on\w+|style)=", page.text)  # those would not be run


def test_no_page_of_the_framework_asks_another_server(api: TestClient) -> None:
    assert api.get("/redoc").status_code == 404
    assert set(api.get("/openapi.json").json()["paths"]) == {"/detect", "/health", "/"}


def test_two_pictures_are_422(api: TestClient, jpeg: bytes) -> None:
    part = ("image", ("a", jpeg, "image/jpeg"))
    refused(api.post("/detect", files=[part, part]), 422, "2 times")
    assert api.post("/detect", files=[part, ("other", ("b", b"x", "text/plain"))]).status_code == 200


def test_no_answer_lets_a_browser_guess_its_type(api: TestClient) -> None:
    answers = [api.get("/health"), api.get("/"), api.get("/nothing"), api.post("/detect"), api.post("/detect", json={}), send(api, bytes(600_000))]
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}


def test_openapi_declares_every_refusal_with_an_example(api: TestClient) -> None:
    operation = api.get("/openapi.json").json()["paths"]["/detect"]["post"]
    for status in ("400", "408", "413", "415", "422", "503"):
        content = operation["responses"][status]["content"]["application/json"]
        assert content["example"]["detail"]
        assert content["schema"]["$ref"].endswith("/Problem")


def test_503_until_the_model_is_loaded(jpeg: bytes) -> None:
    gate = threading.Event()

    class Blank:
        model, backend = "blank", "none"

        def detect(self, image: Image.Image, confidence: float) -> list:
            return []

    def slowly(model: str, threads: int) -> Blank:
        gate.wait(10)
        return Blank()

    with TestClient(create_app(Settings(model="x"), slowly)) as client:
        refused(client.get("/health"), 503, "being loaded")
        refused(send(client, jpeg), 503, "being loaded")
        gate.set()
        wait_until_loaded(client)
        assert send(client, jpeg).status_code == 200


@pytest.mark.parametrize("name", ["missing.onnx", "missing.pt", "model.h5"])
def test_a_model_that_cannot_be_loaded_is_503(name: str, tmp_path) -> None:
    with TestClient(create_app(Settings(model=str(tmp_path / name)))) as client:
        for _ in range(200):
            answer = client.get("/health")
            if "cannot" in answer.json()["detail"]:
                break
        refused(answer, 503, name)


def test_a_failing_detector_says_nothing_about_itself(jpeg: bytes) -> None:
    class Broken:
        model, backend = "broken", "none"

        def detect(self, image: Image.Image, confidence: float) -> list:
            raise RuntimeError("secret")

    with TestClient(create_app(Settings(), lambda model, threads: Broken()), raise_server_exceptions=False) as client:
        wait_until_loaded(client)
        answer = send(client, jpeg)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_uploads_stay_in_memory(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only container has no folder for temporary files."""

    def nowhere(*_: object, **__: object) -> None:
        raise OSError("read-only")

    # What a spooled file asks for when it outgrows memory, at 1 MB unless told otherwise.
    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    noise = encode(Image.effect_noise((1600, 1600), 90), "PNG")
    assert len(noise) > 1_500_000
    with TestClient(create_app(Settings(model=str(tiny))), raise_server_exceptions=False) as client:
        wait_until_loaded(client)
        assert send(client, noise, "image/png").status_code == 200
