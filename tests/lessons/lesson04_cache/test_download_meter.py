"""What a build's steps download is counted, leaves no trace in the image, and does not touch the cache."""

from __future__ import annotations

import time
from pathlib import Path

import docker
import pytest

from dockerlab.containers import container
from dockerlab.images import base_images
from dockerlab.lessons.lesson04_cache import download_meter

pytestmark = pytest.mark.engine
SERVE = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2000000"); self.end_headers(); self.wfile.write(bytes(2000000))
http.server.HTTPServer(("", 8000), Answer).serve_forever()
"""
DOCKERFILE = """\
FROM python:3.11-slim-bookworm
RUN python -c "import urllib.request as u; print(len(u.urlopen('http://ADDRESS:8000/file').read()))" # MARK
"""


def test_bytes_are_counted_and_the_cache_is_untouched(client: docker.DockerClient, tmp_path: Path) -> None:
    tag = "dockerlab-test-downloads:count"
    with (
        container.running(
            base_images.SLIM, command=["python", "-c", SERVE], ready="/", client=client
        ) as server,
        download_meter.metered(client) as meter,
    ):
        address = container.address(server.container)
        (tmp_path / "Dockerfile").write_text(
            DOCKERFILE.replace("ADDRESS", address).replace("MARK", str(time.time_ns()))
        )
        report, received = meter.build(tmp_path, tag=tag)
        assert "2000000" in report.instructions[0].log
        assert 2_000_000 < received < 2_010_000
        assert list(meter.received()) == [address]
        again, nothing = meter.build(tmp_path, tag=tag, buildargs={"UNUSED": "1"})
        assert again.ran == [] and nothing == 0
    image = client.images.get(tag)
    try:
        assert not any("proxy" in entry.get("CreatedBy", "").lower() for entry in image.history())
        assert not any("proxy" in entry.lower() for entry in image.attrs["Config"]["Env"])
    finally:
        client.images.remove(tag, force=True)


def test_the_meter_is_removed(client: docker.DockerClient) -> None:
    with download_meter.metered(client, name="dockerlab-test-meter"):
        assert client.containers.list(filters={"name": "dockerlab-test-meter"})
    assert not client.containers.list(all=True, filters={"name": "dockerlab-test-meter"})
