"""What single promises of the labs are measured by, each at a container, server or build that is made up for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockerlab.containers import inspection
from dockerlab.detection import variants
from dockerlab.lessons.lesson03_dockerfile import measures
from dockerlab.lessons.lesson04_cache import lab
from dockerlab.lessons.lesson12_capstone import scoring


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Dockerfile", "FROM x\nRUN env -u https_proxy pip install y\n"),
        ("Dockerfile", "FROM x\nRUN cd /x && unset $NAMES\n"),
        ("tools/fetch.sh", "#!/bin/sh\nexport HTTPS_PROXY=\npip install y\n"),
        ("tools/fetch.sh", "#!/usr/bin/env -S env -i sh\n"),
        ("install", "import os\nos.environ.pop(name)\n"),
        ("install", "session.trust_env = False\n"),
        ("install", "for name in os.environ:\n    if 'proxy' in name.lower(): continue\n"),
        (".pip/pip.conf", "[global]\nno_proxy = *\n"),
    ],
)
def test_a_way_round_the_meter_is_seen_in_whatever_is_sent(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\n# http_proxy is set by the check\nRUN pip install y\n")
    (tmp_path / "notes.md").write_text("A proxy counts what is downloaded. BUILD_DATE is unset.\n")
    assert lab.goes_round(tmp_path) == ""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert lab.goes_round(tmp_path).startswith(f"{name} holds the line `")
    if name != "Dockerfile":
        (tmp_path / ".dockerignore").write_text(f"{name}\n")
        assert lab.goes_round(tmp_path) == ""


WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def berths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lab 04's service as it should answer; `model` is what it hands out as its weights."""
    service = SimpleNamespace(model=WEIGHTS, start_seconds=1.0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {
                "/version": f'{{"built": "{lab.DATE}"}}'.encode(),
                "/berths": b'["east-4"]',
                "/model": service.model,
            }[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "model").mkdir()
    (tmp_path / "model/harbour-n.pt").write_bytes(WEIGHTS)
    monkeypatch.setattr(lab, "_service", lambda _: service)
    monkeypatch.setattr(lab, "_first_process", lambda _: inspection.Process(1, "tini", (lab.UID,), ()))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        yield service
        server.shutdown()


def test_weights_of_the_same_length_are_other_weights(berths: Any, tmp_path: Path) -> None:
    submission = SimpleNamespace(folder=tmp_path)
    assert lab._answers(submission).ok
    berths.model = bytes(len(WEIGHTS))
    assert lab._answers(submission).measured == "/model does not hand out the weights"


def test_the_sick_container_of_lab_03_publishes_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, dict[str, Any]] = {}

    def create(image: str, command: object, *, name: str, **options: Any) -> Any:
        made[name] = options
        return SimpleNamespace(start=lambda: None)

    submission = SimpleNamespace(
        client=SimpleNamespace(containers=SimpleNamespace(create=create)),
        name=str,
        labels=dict,
        cached=lambda _, make: make(),
        enter=lambda context: context.__enter__(),
    )
    monkeypatch.setattr(measures, "built", lambda _: SimpleNamespace(tag="image"))
    monkeypatch.setattr(measures, "_attrs", lambda *_: {"Config": {"Cmd": ["serve"]}})
    monkeypatch.setattr(measures.container, "remove", lambda _: None)
    measures._boxes(submission)
    assert not {"ports", "publish_all_ports", "network_mode"} & made["sick"].keys()
    addresses = {address for options in made.values() for address, _ in options.get("ports", {}).values()}
    assert addresses == {"127.0.0.1"} and len(made) == 3


def test_no_file_says_how_long_a_build_from_nothing_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    built: list[dict[str, Any]] = []

    def build(what: str, folder: Path, **options: Any) -> Any:
        built.append(options)
        return SimpleNamespace(seconds=90.0)

    submission = SimpleNamespace(client=None, build=build)
    monkeypatch.setattr(scoring, "_FRESH", {})
    monkeypatch.setattr(variants, "BUILD", tmp_path / "build")
    variants.note("capstone", scoring._recipe(folder, None), build_seconds=0.1)  # as somebody could write it
    assert scoring._from_nothing(submission, folder) == scoring._from_nothing(submission, folder) == 90.0
    assert [each["no_cache"] for each in built] == [True]
