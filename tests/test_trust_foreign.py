"""The guard of what the course did not make (foreign.py) notices a loss, in a test and in a notebook, and tidies up after itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from daemons import Daemon, second_daemon

pytestmark = pytest.mark.engine
HERE = Path(__file__).parent
PRUNE = """
from dockerlab import engine
client = engine.connect()
client.containers.prune()
client.volumes.prune(filters={"all": True})
client.networks.prune()
client.images.prune(filters={"dangling": False})
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with second_daemon(tmp_path_factory.mktemp("foreign"), containerd=False) as daemon:
        yield daemon


@pytest.fixture
def run(daemon: Daemon, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run pytest with the guard on a file of tests, or on a notebook of one cell."""

    def pytest_on(text: str, notebook: bool = False, *options: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / ("lesson.ipynb" if notebook else "test_it.py")
        if notebook:
            cell = nbformat.v4.new_code_cell(text, metadata={"tags": ["nbval-ignore-output"]})
            nbformat.write(nbformat.v4.new_notebook(cells=[cell]), file)
        else:
            file.write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "nbval.plugin", "-p", "foreign", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
             *options, file],
            env={**os.environ, "DOCKER_HOST": daemon.url, "PYTHONPATH": str(HERE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return pytest_on


def everything(daemon: Daemon) -> tuple[list, list, list, set[str]]:
    client = daemon.client
    return client.containers.list(all=True), client.images.list(), client.volumes.list(), {network.name for network in client.networks.list()}


@pytest.mark.parametrize("notebook", [False, True], ids=["test", "notebook"])
def test_a_prune_fails_the_run(run, daemon, notebook) -> None:
    body = PRUNE if notebook else "import pytest\n@pytest.mark.engine\ndef test_prune():\n" + PRUNE.replace("\n", "\n    ")
    done = run(body, notebook=notebook)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout and "foreign things are untouched" in done.stdout
    assert all(f"{kind} foreign-" in done.stdout for kind in ("container", "tag", "volume", "network")), done.stdout
    assert "-on-a-base:1" in done.stdout
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})


@pytest.mark.parametrize("notebook", [False, True], ids=["test", "notebook"])
def test_a_prune_fails_a_run_by_several_processes(run, daemon, notebook) -> None:
    body = PRUNE if notebook else "import pytest\n@pytest.mark.engine\ndef test_prune():\n" + PRUNE.replace("\n", "\n    ")
    several = ("-p", "xdist", "-p", "lanes", "-n", "2", "--dist", "loadscope")
    done = run(body, notebook, *several)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout and "foreign things are untouched" in done.stdout
    assert all(f"{kind} foreign-" in done.stdout for kind in ("container", "tag", "volume", "network")), done.stdout
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})
    done = run("import pytest\n@pytest.mark.engine\ndef test_nothing(): pass\n", False, *several)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})


def test_a_volume_left_without_a_name_fails_the_run(run, daemon, tiny_image, client) -> None:
    daemon.take(tiny_image, client)
    body = f"""
from dockerlab import engine
client = engine.connect()
box = client.containers.create("{tiny_image}", "true", mounts=[{{"Target": "/data", "Type": "volume"}}], labels=engine.labels())
box.start()
box.wait()
box.remove()"""
    done = run("import pytest\n@pytest.mark.engine\ndef test_leaves():" + body.replace("\n", "\n    "))
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    [volume] = daemon.client.volumes.list()
    assert f"left these behind: volume {volume.name}" in done.stdout
    volume.remove()
    daemon.client.images.remove(tiny_image)


def test_a_good_run_passes_and_leaves_nothing(run, daemon) -> None:
    kept = daemon.client.volumes.create("someone")
    done = run("import pytest\n@pytest.mark.engine\ndef test_nothing(): pass\n")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
    assert everything(daemon) == ([], [], [kept], {"bridge", "host", "none"})
    stopped = run("import pytest\n@pytest.mark.engine\ndef test_stops():\n    from dockerlab import engine\n"
                  "    engine.connect().volumes.get('someone').remove()\n    raise KeyboardInterrupt\n")
    assert stopped.returncode == 1 and "Gone, although the course did not make it: volume someone" in stopped.stdout, stopped.stdout
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})
