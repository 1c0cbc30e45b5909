"""An inline cache pushed to a registry is taken by an engine that forgot its steps, on both image stores; as lesson 04 shows it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from dockerlab.engine import connection
from dockerlab.images import base_images
from dockerlab.images.build_report import BuildReport
from dockerlab.lessons.lesson04_cache import plain_progress
from tests.support.daemons import Daemon, second_daemon

pytestmark = [pytest.mark.engine, pytest.mark.slow]
REF = "127.0.0.1:5000/service:cache"
DOCKERFILE = """\
FROM {base}
WORKDIR /dockerlab-external
RUN ["/bin/sh", "-c", "echo {mark} > /dockerlab-external/note"]
COPY main.py /dockerlab-external/
"""


@pytest.fixture(scope="module", params=[False, True], ids=["overlay2", "containerd"])
def other(
    request: pytest.FixtureRequest,
    client: docker.DockerClient,
    tiny_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Daemon]:
    """A second engine with a base, and a registry on its own loopback."""
    base_images.ensure(base_images.REGISTRY, client)
    with second_daemon(tmp_path_factory.mktemp("engine"), containerd=request.param) as daemon:
        for name in (tiny_image, base_images.REGISTRY):
            daemon.client.images.load(b"".join(client.images.get(name).save(named=name)))
        daemon.client.containers.run(base_images.REGISTRY, detach=True, network_mode="host")
        yield daemon


def docker_cli(daemon: Daemon, *arguments: str) -> list[str]:
    done = subprocess.run(
        ["docker", *arguments],
        env={**os.environ, "DOCKER_HOST": daemon.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return (done.stdout + done.stderr).splitlines()


def elsewhere(daemon: Daemon, context: Path, *options: str) -> BuildReport:
    """Forget these steps and nothing else, then build."""
    docker_cli(daemon, "image", "rm", "--force", REF, "dockerlab-external:built")
    docker_cli(daemon, "buildx", "prune", "--force", "--all", "--filter", "description~=dockerlab-external")
    log = docker_cli(
        daemon,
        "buildx",
        "build",
        "--progress=plain",
        "-t",
        "dockerlab-external:built",
        *options,
        str(context),
    )
    report = plain_progress.read(log)
    assert len(report.instructions) == 3, log
    print(*log, sep="\n")  # pytest shows it when the test fails
    return report


def test_inline_cache(other: Daemon, tiny_image: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.format(base=tiny_image, mark=time.time_ns()))
    (tmp_path / "main.py").write_text("1")
    pushed = docker_cli(
        other,
        "buildx",
        "build",
        "--progress=plain",
        "-t",
        REF,
        "--cache-to",
        "type=inline",
        "--push",
        str(tmp_path),
    )
    assert not any("ERROR" in line for line in pushed), pushed
    assert len(elsewhere(other, tmp_path).ran) == 3
    assert elsewhere(other, tmp_path, "--cache-from", f"type=registry,ref={REF}").ran == []
    (tmp_path / "main.py").write_text("2")
    assert elsewhere(other, tmp_path, "--cache-from", f"type=registry,ref={REF}").ran == [
        "[4/4] COPY main.py /dockerlab-external/"
    ]


def test_a_cache_under_its_own_name_needs_the_containerd_store(
    other: Daemon, tiny_image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.format(base=tiny_image, mark=time.time_ns()))
    (tmp_path / "main.py").write_text("1")
    log = docker_cli(
        other,
        "buildx",
        "build",
        "--progress=plain",
        "--cache-to",
        f"type=registry,ref={REF}-max,mode=max",
        str(tmp_path),
    )
    refused = any("Cache export is not supported for the docker driver" in line for line in log)
    assert refused == (connection.facts(other.client).image_store != "containerd"), log
