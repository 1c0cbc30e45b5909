"""CPU quota read from fake roots; settings read from a fake environment; the health check against a real port."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
from app.healthcheck import healthy
from app.settings import load_settings
from app.threads import available_cpus


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "affinity", "cpus"),
    [
        ({}, 8, 8),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, 8, 8),
        ({"sys/fs/cgroup/cpu.max": "200000 100000"}, 8, 2),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 8, 1),
        ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 8, 1),
        ({"sys/fs/cgroup/cpu.max": "400000 100000"}, 2, 2),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "300000 100000"}, 8, 3),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8, 8),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8, 3),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
            },
            8,
            2,
        ),
    ],
)
def test_cpus_of_the_container(tmp_path: Path, files: dict[str, str], affinity: int, cpus: int) -> None:
    assert available_cpus(write(tmp_path, files), affinity) == cpus


def test_cpus_of_this_machine() -> None:
    assert available_cpus() >= 1


def test_settings_have_defaults() -> None:
    settings = load_settings({})
    assert settings.model == "/app/model/harbour-n.onnx"
    assert settings.confidence == 0.25
    assert settings.max_image_bytes == 10_000_000
    assert settings.max_pixels == 12_500_000


def test_settings_from_the_environment() -> None:
    settings = load_settings({"MODEL_PATH": "/m/a.onnx", "CONFIDENCE": "0.5", "MAX_IMAGE_BYTES": "7", "MAX_PIXELS": "8"})
    assert (settings.model, settings.confidence, settings.max_image_bytes, settings.max_pixels) == ("/m/a.onnx", 0.5, 7, 8)
    assert load_settings({"MODEL_NAME": "yolov8n.pt"}).model == "yolov8n.pt"
    assert load_settings({"MODEL_NAME": "other.onnx"}).model == "/app/model/other.onnx"


WRONG = [("CONFIDENCE", "high"), ("CONFIDENCE", "2"), ("MAX_PIXELS", "-1"), ("MAX_IMAGE_BYTES", "x")]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_settings_name_the_variable(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        load_settings({name: value})


@pytest.mark.parametrize(("status", "well"), [(200, True), (503, False)])
def test_healthcheck(status: int, well: bool) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/health"
        assert healthy(url) is well
        server.shutdown()
    assert healthy(url, timeout=1) is False
