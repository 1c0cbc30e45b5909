"""A run of the tests comes to an end: a cell that hangs is stopped, and Ctrl-C leaves no container, no kernel and no canary."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import nbformat
import pytest

from dockerlab.core import polling
from dockerlab.course import cleanup
from dockerlab.engine import process_marks
from tests.support.commands import hears_ctrl_c

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
HOLD = """
import os
from dockerlab.containers import container
from dockerlab.engine import connection, object_labels
client = connection.connect()
with container.running(os.environ["TINY"], command=["sleep", "300"], ready=None, client=client, name=os.environ["NAME"]):
    client.containers.run(os.environ["TINY"], "sleep 300", detach=True, labels=object_labels.labels(), name=os.environ["NAME"] + "-2")
    import time; time.sleep(300)
"""


@pytest.fixture
def name(client: docker.DockerClient, tiny_image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"dockerlab-run-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    monkeypatch.setenv("NAME", name)
    monkeypatch.setenv("TINY", tiny_image)
    monkeypatch.setenv("DOCKERLAB_OWNER", f"run{os.getpid()}")
    yield name
    for each in client.containers.list(all=True, filters={"name": name}):
        each.remove(force=True)


def start(folder: Path, source: str, *options: str, notebook: bool = True) -> subprocess.Popen[str]:
    """pytest with the project's own conftest on one notebook of one cell, or on one test, in a process group of its own."""
    file = folder / ("lesson.ipynb" if notebook else "test_it.py")
    if notebook:
        nbformat.write(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, execution_count=1)]), file
        )
    else:
        file.write_text(
            "import pytest\n@pytest.mark.engine\ndef test_it():\n" + source.replace("\n", "\n    ")
        )
    plugins = [part for name in ("nbval.plugin", "pytest_timeout", "tests.conftest") for part in ("-p", name)]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *plugins,
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
        *options,
        file,
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hears_ctrl_c,
    )


def below(pid: int) -> list[int]:
    """The process and all that it started, kernels in sessions of their own too."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            )
        except (OSError, IndexError):
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def test_a_cell_that_hangs_is_stopped_and_a_slow_one_is_not(tmp_path) -> None:
    begun = time.monotonic()
    slow = start(tmp_path, "import time; time.sleep(5)", "--timeout=3", "--nbval-cell-timeout=60")
    out, _ = slow.communicate(timeout=120)
    assert slow.returncode == 0, out  # the limit of tests does not hold for a cell, which may build
    hangs = start(tmp_path, "import time; time.sleep(300)", "--nbval-cell-timeout=2")
    out, _ = hangs.communicate(timeout=120)
    assert hangs.returncode == 1 and "Timeout of 2 seconds exceeded" in out, out
    assert time.monotonic() - begun < 240  # not the 300 s that the cell would take


@pytest.mark.parametrize("notebook", [False, True], ids=["test", "notebook"])
def test_ctrl_c_leaves_nothing_running(client, tmp_path, name, notebook) -> None:
    run = start(tmp_path, HOLD, notebook=notebook)
    assert polling.wait_until(lambda: len(client.containers.list(filters={"name": name})) == 2, 300, 0.1), (
        run.communicate(timeout=5)
    )
    processes = below(run.pid)
    assert len(processes) > (1 if notebook else 0)
    os.killpg(run.pid, signal.SIGINT)
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 2 and "KeyboardInterrupt" in out, out
    assert polling.wait_until(
        lambda: not [pid for pid in processes if Path(f"/proc/{pid}").exists()], 60, 0.1
    )
    left = client.containers.list(all=True, filters={"name": name})
    if notebook:
        assert not left
    else:  # the test's own process lived until now; the next sweep sees that it has ended
        assert [each.name for each in left] in ([], [f"{name}-2"])
        cleanup.sweep(client)
        assert not client.containers.list(all=True, filters={"name": name})
    canaries = client.containers.list(all=True, filters={"label": "foreign.canary"}, ignore_removed=True)
    assert all(process_marks.alive(each.labels["foreign.canary"]) for each in canaries)
