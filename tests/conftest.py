"""What every test may use: a connection to the engine, and the rule that CI fails where a laptop would skip."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import cache_budget
import docker
import foreign
import lanes
import pytest
import verdicts

from dockerlab import bases, container, engine
from dockerlab.errors import CourseError


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-docker", action="store_true", help="a missing engine fails the engine tests instead of skipping them")
    parser.addoption("--judge-again", action="store_true", help="judge all of every lab, also what was judged rightly before")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.pop("PYTEST_ADDOPTS", None)  # options for this run are not for those that its tests begin
    for plugin in (foreign, lanes, cache_budget, verdicts):
        if not config.pluginmanager.has_plugin(plugin.__name__):
            config.pluginmanager.register(plugin, plugin.__name__)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A cell that builds may take longer than a test: nbval's own limit comes first, since it also stops the kernel."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.timeout(config.option.nbval_cell_timeout + 60))


_said: dict[Path, str] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With a cell that fails, show what the cell before it wrote, which nbval may have been told to ignore."""
    report = yield
    outputs = getattr(item, "test_outputs", None)  # of nbval, once the cell has run
    if call.when == "call" and outputs is not None:
        if report.failed and item.path in _said:
            report.sections.append(("What the cell before wrote", _said[item.path]))
        _said[item.path] = "\n".join(str(each.get("text") or each.get("data", {}).get("text/plain", "")) for each in outputs)
    return report


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest) -> docker.DockerClient:
    try:
        return engine.connect()
    except CourseError as error:
        if request.config.getoption("--require-docker"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def registry(client: docker.DockerClient) -> Iterator[str]:
    """A registry on a free port, as `127.0.0.1:port`."""
    bases.ensure(bases.REGISTRY, client)
    with container.running(bases.REGISTRY, port=5000, ready="/v2/", client=client) as service:
        yield service.url.removeprefix("http://")


@pytest.fixture(scope="session")
def tiny_image(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A runnable image of about a megabyte: a static shell-less C program would need a compiler, so busybox is used."""
    busybox = _static_busybox(tmp_path_factory.mktemp("busybox"))
    tag = f"dockerlab-tiny:{uuid.uuid4().hex[:8]}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "ls", "cat", "echo", "sleep", "rm", "touch", "mkdir", "dd", "httpd", "id", "test", "true", "false"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    repository, version = tag.split(":")
    changes = [f"LABEL {key}={value}" for key, value in engine.labels(kind="test").items()] + ['CMD ["/bin/sh"]', "ENV PATH=/bin"]
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
