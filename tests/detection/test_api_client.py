"""The client of the detection API: reading answers, drawing, comparing, and what it says when something is wrong."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dockerlab.detection.api_client import (
    REFERENCE,
    Answer,
    Detection,
    DetectionFailed,
    agreement,
    detect,
    parse,
    recorded,
)
from dockerlab.notebook.charts.detections import draw

A = Detection("ship", 0.91, 10, 10, 110, 60)
B = Detection("crane", 0.80, 200, 20, 300, 220)


def answer(*detections: Detection) -> Answer:
    return Answer("m.onnx", "onnxruntime", 640, 480, detections)


@contextmanager
def serving(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "Hafen übersicht 港.jpg"
    Image.new("RGB", (640, 480), "navy").save(path)
    return path


BODY = {
    "model": "m.onnx",
    "backend": "onnxruntime",
    "image": {"width": 640, "height": 480},
    "detections": [
        {"label": "ship", "score": 0.913, "box": {"x1": 9.6, "y1": 10.2, "x2": 110.4, "y2": 59.8}}
    ],
    "milliseconds": {"decode": 1.0, "inference": 2.0, "total": 3.5},
}


def test_detect_reads_an_answer(picture: Path) -> None:
    with serving(200, json.dumps(BODY).encode()) as (url, asked):
        got = detect(url + "/", picture, confidence=0.4)
    assert asked == ["/detect?confidence=0.4"]
    assert got.detections == (Detection("ship", 0.913, 9.6, 10.2, 110.4, 59.8),)
    assert got.milliseconds["total"] == 3.5
    assert got.frame().values.tolist() == [["ship", 0.91, 10, 10, 110, 60]]
    assert list(got.frame().columns) == ["label", "score", "x1", "y1", "x2", "y2"]


def test_an_empty_answer_has_an_empty_frame() -> None:
    assert answer().frame().shape == (0, 6)
    assert answer().summary() == "nothing found"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, b'{"detail": "The picture is damaged or cut short."}', "damaged"),
        (413, b"<html>proxy</html>", "413"),
        (500, b"oops", "log"),
        (200, b"<html>", "another program"),
        (200, b'{"detections": [{}]}', "another program"),
        (200, b"[]", "another program"),
    ],
)
def test_refusals_are_one_clean_error(picture: Path, status: int, body: bytes, says: str) -> None:
    with serving(status, body) as (url, _), pytest.raises(DetectionFailed) as caught:
        detect(url, picture)
    assert says in str(caught.value).lower()
    assert caught.value.fix


def test_nobody_listens(picture: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DetectionFailed, match="Nothing answers") as caught:
        detect(f"http://127.0.0.1:{port}", picture)
    assert "docker ps" in caught.value.fix


def test_a_silent_server_times_out(picture: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DetectionFailed, match="did not answer within"):
            detect(f"http://127.0.0.1:{silent.getsockname()[1]}", picture, timeout=0.3)


def test_a_missing_picture_and_a_wrong_address(picture: Path, tmp_path: Path) -> None:
    with pytest.raises(DetectionFailed, match="cannot be read"):
        detect("http://127.0.0.1:9", tmp_path / "none.jpg")
    with pytest.raises(DetectionFailed, match="not an address"):
        detect("localhost", picture)


def test_drawing_shows_boxes_and_says_what_is_there(picture: Path) -> None:
    figure = draw(picture, answer(A, B, replace(A, x1=20)))
    axes = figure.axes[0]
    assert axes.get_title() == "2 ships, 1 crane"
    assert len(axes.patches) == 3
    assert {text.get_text() for text in axes.texts} == {"ship 0.91", "crane 0.80"}
    assert axes.patches[0].get_bbox().bounds == (10, 10, 100, 50)
    figure.canvas.draw()


def test_the_recorded_answers_cover_every_sample_picture() -> None:
    answers = recorded()
    assert set(answers) == {path.name for path in (REFERENCE.parents[1] / "images").glob("*.jpg")}
    assert all(answer.backend == "ultralytics" and answer.detections for answer in answers.values())


def test_agreement() -> None:
    assert agreement(answer(), answer()) == 1.0
    assert agreement(answer(A, B), answer(B, A)) == 1.0
    assert agreement(answer(A), answer()) == 0.0
    assert agreement(answer(A, B), answer(A)) == pytest.approx(2 / 3)
    assert agreement(answer(A), answer(replace(A, label="crane"))) == 0.0
    assert agreement(answer(A), answer(replace(A, score=0.93))) == 1.0
    assert agreement(answer(A), answer(replace(A, score=0.94))) == 0.0
    assert agreement(answer(A), answer(replace(A, x2=119))) == 1.0
    assert agreement(answer(A), answer(replace(A, x2=125))) == 0.0


def test_each_box_has_one_partner_only() -> None:
    assert agreement(answer(A, A), answer(A)) == pytest.approx(2 / 3)


def test_overlap_of_boxes() -> None:
    assert A.iou(A) == 1.0
    assert A.iou(B) == 0.0
    assert Detection("a", 1, 0, 0, 10, 10).iou(Detection("a", 1, 5, 0, 15, 10)) == pytest.approx(1 / 3)


def test_parse_refuses_another_shape() -> None:
    with pytest.raises(KeyError):
        parse({"model": "m"})
