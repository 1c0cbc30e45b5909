"""A lesson can be run again after anything: from the top, after an interrupt, after its kernel was killed while a container ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import docker
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from dockerlab.core.polling import wait_until
from dockerlab.core.settings import ROOT
from dockerlab.course import cleanup
from dockerlab.engine import connection, object_labels, ownership
from tests.support.commands import sleeps
from tests.support.daemons import second_daemon
from tests.support.kernels import Kernel, kernel

pytestmark = pytest.mark.engine
# The first is killed and run again in `make test`; `make twice` does it to all of them.
QUICK = ("00",)
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
# What outlives a lesson because the lesson says so.
STAYS = ("dockerlab-wheels",)


def course_things(client: docker.DockerClient) -> set[tuple[str, str]]:
    """Kind and name of everything of this learner on the engine, and the tags that a lesson makes for itself."""
    mine = object_labels.mine()
    found = {
        ("container", thing.name)
        for thing in client.containers.list(all=True, filters=mine, ignore_removed=True)
    }
    found |= {("network", thing.name) for thing in client.networks.list(filters=mine)}
    found |= {("volume", thing.name) for thing in client.volumes.list(filters=mine)}
    found |= {
        ("image", tag)
        for image in ownership.images(client)
        for tag in image.ours
        if tag.startswith("dockerlab-lesson")
    }
    return {(kind, name) for kind, name in found if name not in STAYS}


def kill_while_a_container_runs(lesson: Kernel, cells: list[str], first: int) -> int:
    """Run cells; from cell number `first` on, kill the kernel as soon as a container of this learner starts.

    Returns the number of the cell that was running; len(cells) where no container came.
    """
    armed, ended = threading.Event(), threading.Event()
    watcher = connection.connect()
    events = watcher.events(
        filters={"type": "container", "event": "start", **object_labels.mine()}, decode=True
    )

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
                if watcher.containers.list(
                    filters={"label": f"{object_labels.PROCESS_LABEL}={_mark(lesson)}"}
                ):
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
    out = lesson.run("from dockerlab.engine import process_marks; print(process_marks.mark())")
    return "".join(item["text"] for item in out if item["type"] == "stream").strip()


def nbval(notebook: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook from the top, compared as `make test` compares it."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "nbval.plugin",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with",
        "nbval_sanitize.cfg",
        "--nbval-cell-timeout",
        "900",
        str(notebook),
    ]
    # Only the plugin that is needed: the others take seconds to load.
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def _cases() -> list[object]:
    return [
        pytest.param(path, id=path.stem, marks=[] if path.name.startswith(QUICK) else [pytest.mark.twice])
        for path in LESSONS
    ]


@pytest.mark.timeout(2000)
@pytest.mark.parametrize("notebook", _cases())
def test_a_lesson_runs_again_after_its_kernel_was_killed(client: docker.DockerClient, notebook: Path) -> None:
    cells = [
        cell["source"]
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    cells = ["".join(source) for source in cells]
    before = course_things(client)
    half = len(cells) // 2
    for first in (half, 0):  # a lesson whose second half starts no container is killed at its first one
        with kernel(notebook.parent) as lesson:
            stopped = kill_while_a_container_runs(lesson, cells, first)
        if stopped < len(cells):
            break
    print(
        f"killed in code cell {stopped + 1} of {len(cells)}; left: {sorted(course_things(client) - before) or 'nothing'}"
    )
    done = nbval(notebook)
    assert done.returncode == 0, done.stdout[-4000:]
    # The engine takes a container that was run with --rm away in its own time.
    assert wait_until(lambda: course_things(client) <= before, 30, 0.5), course_things(client) - before


# --- what an error looks like in a notebook --------------------------------------------------------------------------------

PREPARED = """
import os, socket
from pathlib import Path
import docker, requests
from dockerlab.containers import container
from dockerlab.engine import connection, object_labels
from dockerlab.images.build import build
from dockerlab.notebook.session import start
client = start()
folder, marks, tiny = Path("context"), object_labels.labels(), os.environ["TINY"]
folder.mkdir()
def dockerfile(text):
    (folder / "Dockerfile").write_text(text.replace("TINY", tiny))
    return folder
"""
ERRORS = {
    "no engine": ('os.environ["DOCKER_HOST"] = "unix:///nowhere/docker.sock"\ntry:\n    connection.connect()\nfinally:\n    del os.environ["DOCKER_HOST"]',
                  "EngineUnavailable: No Docker Engine answers", "Correct or unset DOCKER_HOST"),
    "no engine, docker-py": ('docker.DockerClient(base_url="unix:///nowhere/docker.sock")', "The engine stopped answering", "make engine"),
    "no such image": ('client.images.get("dockerlab-nothing:here")', "There is no image dockerlab-nothing:here", "dockerlab bases"),
    "no such base": ('client.containers.run("dockerlab.invalid/python:3.11", labels=marks)', "no registry answers", "dockerlab bases"),
    "no such container": ('client.containers.get("dockerlab-nothing")', "There is no container dockerlab-nothing", "Run the cell"),
    "no such command": ('client.containers.run(tiny, "train", labels=marks, remove=True)', "The command train is not in the image", "CMD"),
    "it ends with 3": ('client.containers.run(tiny, ["sh", "-c", "echo no model here >&2; exit 3"], labels=marks, remove=True)',
                       "exit code 3", "Mend what that line names"),
    "the name is taken": ('for _ in range(2):\n    client.containers.create(tiny, name=f"dockerlab-{os.getpid()}", labels=marks)',
                          "exists already", "docker rm -f dockerlab-"),
    "the port is taken": ('taken = socket.create_server(("127.0.0.1", 0))\nclient.containers.run(tiny, labels=marks, detach=True, '
                          'ports={"8000/tcp": ("127.0.0.1", taken.getsockname()[1])})', "of this machine is taken", "Let the kernel choose one"),
    "a syntax error": ('build(dockerfile("FROM TINY\\nRUNN true\\n"), client=client)', "Dockerfile line 2 failed", "Mend that line"),
    "nothing to copy": ('build(dockerfile("FROM TINY\\nCOPY app /app\\n"), client=client)', "not in the context", "Check its path"),
    "a failing step": ('build(dockerfile("FROM TINY\\nRUN echo last words; exit 7\\n"), client=client)', "last words", "mend that step"),
    "2 GB by mistake": ('with (dockerfile("FROM TINY") / "video.mp4").open("wb") as file:\n    file.truncate(2 << 30)\ntry:\n'
                        '    build(folder, client=client)\nfinally:\n    (folder / "video.mp4").unlink()', "2,147 MB", ".dockerignore"),
}  # fmt: skip


@pytest.fixture(scope="module")
def seen(
    client: docker.DockerClient, tiny_image: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, NotebookNode]:
    """Every mistake in one notebook, as nbclient runs it; the output of its cell."""
    folder = tmp_path_factory.mktemp("errors")
    sources = [
        PREPARED,
        *(code for code, _, _ in ERRORS.values()),
        "def divide(): 1 / 0\ndivide()",
        "requests.get('http://127.0.0.1:9')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in sources])
    before = course_things(client)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY", tiny_image)
        NotebookClient(
            notebook,
            timeout=120,
            allow_errors=True,
            resources={"metadata": {"path": str(folder)}},
            kernel_name="python3",
        ).execute()
    assert not notebook.cells[0].outputs, notebook.cells[0].outputs
    cleanup.sweep(client)  # the kernel has ended, so this takes away what the failed cells left
    assert course_things(client) == before
    return dict(
        zip(
            [*ERRORS, "a stack", "another server"],
            (cell.outputs[-1] for cell in notebook.cells[1:]),
            strict=True,
        )
    )


@pytest.mark.parametrize("mistake", ERRORS)
def test_an_error_in_a_notebook_is_short_and_says_what_to_do(seen, mistake) -> None:
    output, (_, what, do) = seen[mistake], ERRORS[mistake]
    assert output.output_type == "error", output
    lines = "\n".join(output.traceback).splitlines()
    text = "\n".join(lines)
    assert len(lines) <= 7 and "Traceback" not in text and ".py" not in text, text
    assert what in text, text
    advice = [line for line in lines if line.startswith("  do:")]
    assert len(advice) == 1 and do in advice[0], text


def test_an_error_of_docker_py_names_the_line_of_the_cell(seen) -> None:
    assert (
        seen["the name is taken"]
        .traceback[-1]
        .startswith("  at:  line 2 of the cell: client.containers.create(tiny")
    )


def test_other_errors_keep_their_stack(seen) -> None:
    for name in ("a stack", "another server"):
        assert "Traceback" in "\n".join(seen[name].traceback)


def test_the_engine_stops_under_a_notebook(tmp_path, tiny_image, client) -> None:
    seconds = f"19{os.getpid() % 1000:03d}"
    with second_daemon(tmp_path, containerd=False) as daemon:
        daemon.take(tiny_image, client)
        with kernel(tmp_path, {"DOCKER_HOST": daemon.url, "TINY": tiny_image}) as lesson:
            assert lesson.run(PREPARED) == []
            cell = lesson.begin(f'build(dockerfile("FROM TINY\\nRUN sleep {seconds}\\n"), client=client)')
            assert wait_until(lambda: sleeps(seconds), 300, 0.1)
            daemon.stop()
            for what, outputs in (
                ("during the build", lesson.outputs(cell, 60)),
                ("The engine stopped answering", lesson.run("client.containers.list()")),
            ):
                text = "\n".join(outputs[-1]["traceback"])
                assert (
                    what in text
                    and "make engine" in text
                    and "Traceback" not in text
                    and text.count("\n") < 6
                ), text


def test_the_stop_button_stops_the_build_on_the_engine(tmp_path, tiny_image, client) -> None:
    seconds, tag = f"20{os.getpid() % 1000:03d}", f"dockerlab-stopped:{os.getpid()}"
    with kernel(tmp_path, {"TINY": tiny_image}) as lesson:
        assert lesson.run(PREPARED) == []
        cell = lesson.begin(
            f'build(dockerfile("FROM TINY\\nRUN sleep {seconds}\\n"), tag="{tag}", client=client)'
        )
        assert wait_until(lambda: sleeps(seconds), 300, 0.1)
        lesson.interrupt()
        assert lesson.outputs(cell, 15)[-1]["ename"] == "KeyboardInterrupt"
        assert wait_until(lambda: not sleeps(seconds), 60, 0.2), "the engine still builds"
        assert not client.images.list(tag)
        assert (
            lesson.run("client.ping()")[-1]["data"]["text/plain"] == "True"
        )  # the kernel is as good as before
