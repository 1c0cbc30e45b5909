"""The model server hands out files and checksums, and misbehaves when told to."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import docker
import pytest
import requests

from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson06_ml_images import model_server

pytestmark = pytest.mark.engine


def test_files_checksums_and_bad_days(client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content := b"weights" * 1000)
    tmp_path.chmod(0o755)
    name = f"dockerlab-test-models-{uuid.uuid4().hex[:8]}"
    with model_server.serving(tmp_path, client, name, object_labels.labels(kind="test")) as server:
        assert requests.get(f"{server.control}/a.onnx", timeout=5).content == content
        assert requests.get(f"{server.control}/a.onnx.sha256", timeout=5).text.split() == [
            hashlib.sha256(content).hexdigest(),
            "a.onnx",
        ]
        assert requests.get(f"{server.control}/b.onnx", timeout=5).status_code == 404
        assert requests.get(f"{server.control}/../etc/passwd", timeout=5).status_code == 404
        server.behave(busy=1)
        assert [requests.get(f"{server.control}/a.onnx", timeout=5).status_code for _ in range(2)] == [
            503,
            200,
        ]
        server.behave(damage=True)
        damaged = requests.get(f"{server.control}/a.onnx", timeout=5).content
        assert len(damaged) == len(content) and damaged != content
        assert server.requests().count("/a.onnx") == 4
        asks = f"import urllib.request; print(urllib.request.urlopen('{server.url}/a.onnx.sha256').status)"
        inside = client.containers.run(
            base_images.SLIM,
            ["python", "-c", asks],
            network=name,
            remove=True,
            labels=object_labels.labels(kind="test"),
        )
        assert inside.strip() == b"200"
    assert not client.networks.list(filters={"name": name})
    assert not client.containers.list(all=True, filters={"name": name})
