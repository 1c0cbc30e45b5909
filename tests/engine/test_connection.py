"""Where the engine is looked for, and what it says."""

from __future__ import annotations

import hashlib
import json
import socket
import tempfile
from pathlib import Path

import pytest

from dockerlab.engine import connection, endpoint, reach


def test_docker_host_is_the_only_place_when_it_is_set(tmp_path: Path) -> None:
    places = endpoint.endpoints({"DOCKER_HOST": "tcp://10.0.0.1:2375"}, tmp_path)
    assert [(place.url, place.explicit) for place in places] == [("tcp://10.0.0.1:2375", True)]


def test_the_current_docker_context_is_found(tmp_path: Path) -> None:
    config = tmp_path / ".docker"
    meta = config / "contexts/meta" / hashlib.sha256(b"lab").hexdigest()
    meta.mkdir(parents=True)
    (config / "config.json").write_text(json.dumps({"currentContext": "lab"}))
    (meta / "meta.json").write_text(
        json.dumps({"Name": "lab", "Endpoints": {"docker": {"Host": "unix:///lab.sock"}}})
    )
    assert [place.url for place in endpoint.endpoints({}, tmp_path)] == ["unix:///lab.sock"]
    with pytest.raises(endpoint.EngineUnavailable, match="context other is chosen"):
        endpoint.endpoints({"DOCKER_CONTEXT": "other"}, tmp_path)


def test_sockets_of_other_engines_are_found_in_order() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a socket's path may not be longer than 107 bytes
        home, run = Path(short, "h"), Path(short, "r")
        paths = [
            run / "docker.sock",
            home / ".colima/default/docker.sock",
            home / ".orbstack/run/docker.sock",
            run / "podman/podman.sock",
        ]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        (home / ".docker/run").mkdir(parents=True)
        (home / ".docker/run/docker.sock").write_text("no socket")
        found = [place.url for place in endpoint.endpoints({"XDG_RUNTIME_DIR": str(run)}, home)]
    ours = [url for url in found if short in url]
    assert ours == [f"unix://{path}" for path in paths]


def test_no_engine_is_one_sentence_each(monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(endpoint.EngineUnavailable) as caught:
        connection.connect()
    assert caught.value.what == "No Docker Engine answers at unix:///nowhere/docker.sock (DOCKER_HOST)."
    assert caught.value.fix == "Correct or unset DOCKER_HOST." and "\n" not in caught.value.why


def test_a_closed_socket_says_who_may_use_it() -> None:
    error = reach._unavailable(
        [(endpoint.Endpoint("Docker", "unix:///s"), PermissionError(13, "Permission denied"))]
    )
    assert "usermod -aG docker" in error.fix


@pytest.mark.parametrize(
    ("info", "store"),
    [
        ({"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}, "overlay2"),
        (
            {"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]},
            "containerd",
        ),
        ({"Driver": "vfs", "DriverStatus": None}, "vfs"),
    ],
)
def test_image_store_from_info(info, store) -> None:
    assert connection.image_store(info) == store


@pytest.mark.engine
def test_facts_of_the_running_engine(client) -> None:
    facts = connection.facts(client)
    assert facts.version == client.version()["Version"]
    assert tuple(map(int, facts.api_version.split("."))) >= (1, 44)
    assert facts.image_store in ("overlay2", "containerd") and facts.cpus >= 1 and facts.memory_bytes > 10**8
    assert facts.version in str(facts)
