"""A lesson can be run again after anything: from the top, after an interrupt, after its kernel was killed while a container ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import docker
import pytest
from kernels import Kernel, kernel

from dockerlab import engine
from dockerlab.site import ROOT

pytestmark = pytest.mark.engine
# These are killed and run again in `make test`; `make twice` does it to all of them.
QUICK = ("00", "01")
LESSONS = sorted((ROOT / "notebooks").glob("[0-9A]*.ipynb"))
# What outlives a lesson because the lesson says so.
STAYS = ("dockerlab-wheels",)


def course_things(client: docker.DockerClient) -> set[tuple[str, str]]:
    """Kind and name of everything of this learner on the engine, and the tags that a lesson makes for itself."""
    mine = {"label": [f"{engine.COURSE_LABEL}=1", f"{engine.OWNER_LABEL}={engine.owner()}"]}
    found = {("container", thing.name) for thing in client.containers.list(all=True, filters=mine, ignore_removed=True)}
    found |= {("network", thing.name) for thing in client.networks.list(filters=mine)}
    found |= {("volume", thing.name) for thing in client.volumes.list(filters=mine)}
    found |= {("image", tag) for image in client.images.list(filters=mine) for tag in image.tags if tag.startswith("dockerlab-lesson")}
    return {(kind, name) for kind, name in found if name not in STAYS}


def kill_while_a_container_runs(lesson: Kernel, cells: list[str], first: int) -> int:
    """Run cells; from cell number `first` on, kill the kernel as soon as a container of this learner starts.

    Returns the number of the cell that was running; len(cells) where no container came.
    """
    armed, ended = threading.Event(), threading.Event()
    watcher = engine.connect()
    events = watcher.events(filters={"type": "container", "event": "start", "label": f"{engine.OWNER_LABEL}={engine.owner()}"}, decode=True)

    def watch() -> None:
        for _ in events:
            if armed.is_set():
                lesson.kill()
                break
        ended.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        for number, code in enumerate(cells):
            if number == first:
                armed.set()
                if watcher.containers.list(filters={"label": f"{engine.PROCESS_LABEL}={_mark(lesson)}"}):
                    lesson.kill()
            lesson.run(code, timeout=600)
            if lesson.killed:
                return number
        return len(cells)
    finally:
        events.close()
        thread.join(10)
        watcher.close()


def _mark(lesson: Kernel) -> str:
    out = lesson.run("from dockerlab import engine_process; print(engine_process.mark())")
    return "".join(item["text"] for item in out if item["type"] == "stream").strip()


def nbval(notebook: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook from the top, compared as `make test` compares it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "nbval.plugin", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
               "--nbval-sanitize-with", "nbval_sanitize.cfg", "--nbval-cell-timeout", "900", str(notebook)]
    # Only the plugin that is needed: the others take seconds to load.
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True,
                          timeout=1800, check=False)


def _cases() -> list[object]:
    return [pytest.param(path, id=path.stem, marks=[] if path.name.startswith(QUICK) else [pytest.mark.slow]) for path in LESSONS]


@pytest.mark.timeout(2000)
@pytest.mark.parametrize("notebook", _cases())
def test_a_lesson_runs_again_after_its_kernel_was_killed(client: docker.DockerClient, notebook: Path) -> None:
    cells = [cell["source"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    cells = ["".join(source) for source in cells]
    before = course_things(client)
    half = len(cells) // 2
    for first in (half, 0):  # a lesson whose second half starts no container is killed at its first one
        with kernel(notebook.parent) as lesson:
            stopped = kill_while_a_container_runs(lesson, cells, first)
        if stopped < len(cells):
            break
    print(f"killed in code cell {stopped + 1} of {len(cells)}; left: {sorted(course_things(client) - before) or 'nothing'}")
    done = nbval(notebook)
    assert done.returncode == 0, done.stdout[-4000:]
    assert course_things(client) - before == set()
