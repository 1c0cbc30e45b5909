"""What every test may use: a connection to the engine, and the rule that CI fails where a laptop would skip."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from dockerlab.containers import container
from dockerlab.core.errors import CourseError
from dockerlab.engine import connection, naming, object_labels
from dockerlab.images import base_images
from tests.plugins import cache_budget, cells, foreign, lanes, verdicts


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-docker",
        action="store_true",
        help="a missing engine fails the engine tests instead of skipping them",
    )
    parser.addoption(
        "--judge-again",
        action="store_true",
        help="judge all of every lab, also what was judged rightly before",
    )


def pytest_configure(config: pytest.Config) -> None:
    os.environ[naming.SETTING] = (
        "plain"  # the learners of tests take turns on an engine, and notebooks are compared with names as they are stored
    )
    os.environ.pop("PYTEST_ADDOPTS", None)  # options for this run are not for those that its tests begin
    for plugin in (foreign, lanes, cache_budget, cells, verdicts):
        if not config.pluginmanager.has_plugin(plugin.__name__):
            config.pluginmanager.register(plugin, plugin.__name__)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What uses a client needs the engine, whether or not it says so; `-m` chooses after this.

    A cell that builds may take longer than a test: nbval's own limit comes first, since it also stops the kernel.
    """
    for item in items:
        if "client" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engine)
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.timeout(config.option.nbval_cell_timeout + 60))


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest) -> docker.DockerClient:
    try:
        return connection.connect()
    except CourseError as error:
        if request.config.getoption("--require-docker"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def registry(client: docker.DockerClient) -> Iterator[str]:
    """A registry on a free port, as `127.0.0.1:port`."""
    base_images.ensure(base_images.REGISTRY, client)
    with container.running(base_images.REGISTRY, port=5000, ready="/v2/", client=client) as service:
        yield service.url.removeprefix("http://")


@pytest.fixture(scope="session")
def tiny_image(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A runnable image of about a megabyte: a static shell-less C program would need a compiler, so busybox is used."""
    busybox = _static_busybox(tmp_path_factory.mktemp("busybox"))
    tag = f"dockerlab-tiny:{uuid.uuid4().hex[:8]}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        for name in (
            "sh",
            "ls",
            "cat",
            "echo",
            "sleep",
            "rm",
            "touch",
            "mkdir",
            "dd",
            "httpd",
            "id",
            "test",
            "true",
            "false",
        ):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    repository, version = tag.split(":")
    changes = [
        f"LABEL {key}={value}" for key, value in object_labels.image_labels(tag, kind="test").items()
    ] + ['CMD ["/bin/sh"]', "ENV PATH=/bin"]
    client.api.import_image_from_data(buffer.getvalue(), repository=repository, tag=version, changes=changes)
    yield tag
    client.images.remove(tag, force=True)


def _static_busybox(folder: Path) -> Path:
    """Fetch Debian's statically linked busybox without installing it."""
    fetch = ["apt-get", "download", "busybox-static"]
    if subprocess.run(fetch, cwd=folder, check=False, capture_output=True).returncode:  # no package lists yet
        subprocess.run(["apt-get", "update"], check=True, capture_output=True)
        subprocess.run(fetch, cwd=folder, check=True, capture_output=True)
    package = next(folder.glob("busybox-static_*.deb"))
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True, capture_output=True)
    return next(path for path in (folder / "bin/busybox", folder / "usr/bin/busybox") if path.exists())


@pytest.fixture(autouse=True)
def _docker_config() -> Iterator[None]:
    """To connect with proxy variables set hands this process another DOCKER_CONFIG, which is for this test alone."""
    before = os.environ.get("DOCKER_CONFIG")
    yield
    os.environ.pop("DOCKER_CONFIG", None)
    if before is not None:
        os.environ["DOCKER_CONFIG"] = before
