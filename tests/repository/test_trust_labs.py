"""The lab commands on a learner's folder in every state that a learner can bring it into: no stack, no loss, and a way on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerlab.core.settings import ROOT
from dockerlab.course import grading, workspace
from dockerlab.images import base_images
from tests.support.commands import AS_A_USER, dockerlab, says

pytestmark = pytest.mark.engine
RIGHT = f'FROM {base_images.SLIM}\nCMD ["python", "-c", "print(\'Hello from the harbour\')"]\n'


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course in which a learner may do anything."""
    copy = tmp_path_factory.mktemp("checkout") / "course"
    skip = shutil.ignore_patterns(
        "__pycache__", ".saved", ".new-*", ".building-*", ".old-*", ".ipynb_checkpoints"
    )
    for name in (
        "dockerlab",
        "sources/labs",
        "labs/00_say_hello",
        "solutions/00_say_hello",
        "assets/model",
        "assets/images",
        "assets/detection-api",
    ):
        shutil.copytree(ROOT / name, copy / name, ignore=skip)
    return copy


@pytest.fixture
def lab(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The learner's folder of lab 00, as the course hands it out; progress goes to a folder of the test."""
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder, first = checkout / "labs/00_say_hello", tmp_path / "first"
    shutil.copytree(folder, first)
    yield folder
    subprocess.run(["rm", "-rf", folder, checkout / "labs/.saved"], check=True)
    shutil.copytree(first, folder)


@pytest.fixture
def run(checkout: Path, lab: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return dockerlab(*arguments, checkout=checkout, **options)  # type: ignore[arg-type]

    return command


def test_the_way_of_a_learner(run, lab) -> None:
    assert "not started" in run("progress").stdout
    started = run("check", "00")
    assert started.returncode == 1 and "not started" in started.stdout + started.stderr
    (lab / "Dockerfile").write_text(f"FROM {base_images.SLIM}\nRUN echo Hello from the harbour\n")
    wrong = run("check", "00")
    assert wrong.returncode == 1 and "Hint:" in wrong.stdout
    assert all(line.startswith("The check waits for") for line in wrong.stderr.splitlines()), (
        wrong.stderr
    )  # on a busy machine
    solved = run("solve", "00")
    assert solved.returncode == 0 and "Your version is in labs/.saved/00-1" in solved.stdout
    right = run("check", "0")
    assert right.returncode == 0 and "all 3 hold" in right.stdout, right.stdout + right.stderr
    again = run("reset", "00_say_hello")
    assert again.returncode == 0 and "labs/.saved/00-2" in again.stdout
    assert (lab.parent / ".saved/00-1/Dockerfile").read_text().endswith("RUN echo Hello from the harbour\n")
    assert "00" in run("progress").stdout and "passed" in run("progress").stdout


@pytest.mark.parametrize(
    ("command", "number"), [("check", "99"), ("reset", "../.."), ("solve", ""), ("check", "zero")]
)
def test_a_lab_that_does_not_exist(run, command, number) -> None:
    says(run(command, number), "lab", "Labs: 00")


def garbage(lab: Path) -> None:
    (lab / "Dockerfile").write_bytes(bytes(range(256)) * 16)


def folder_for_file(lab: Path) -> None:
    (lab / "Dockerfile").unlink()
    (lab / "Dockerfile").mkdir()
    (lab / "Dockerfile/inside").write_text("x")


def loop(lab: Path) -> None:
    (lab / "Dockerfile").unlink()
    (lab / "Dockerfile").symlink_to(lab / "Dockerfile")


def unreadable(lab: Path) -> None:
    (lab / "Dockerfile").write_text(RIGHT)
    (lab / "Dockerfile").chmod(0)
    if os.geteuid() == 0:
        os.chown(lab / "Dockerfile", 65534, 65534)


def unreadable_folder(lab: Path) -> None:
    lab.chmod(0)
    if os.geteuid() == 0:
        os.chown(lab, 65534, 65534)


def pipe(lab: Path) -> None:
    (lab / "Dockerfile").unlink()
    os.mkfifo(lab / "Dockerfile")


def odd_but_right(lab: Path) -> None:
    """Nothing here keeps the Dockerfile from being right."""
    (lab / "Dockerfile").write_text(RIGHT)
    (lab / "up").symlink_to(lab, target_is_directory=True)
    (lab / "lab.ipynb").write_text("{")
    Path(os.fsdecode(os.fsencode(lab) + b"/not-utf8-\xff")).write_text("x")
    (lab / "été 港").write_text("x")


def folder_is_a_file(lab: Path) -> None:
    shutil.rmtree(lab)
    lab.write_text("x")


def gone(lab: Path) -> None:
    shutil.rmtree(lab)


def huge(lab: Path) -> None:
    (lab / "Dockerfile").write_text(RIGHT)
    with (lab / "weights.pt").open("wb") as file:
        file.truncate(8 << 30)


STATES = [
    garbage,
    folder_for_file,
    loop,
    unreadable,
    unreadable_folder,
    pipe,
    odd_but_right,
    folder_is_a_file,
    gone,
    huge,
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_folder_that_a_learner_broke(run, lab, state) -> None:
    state(lab)
    check = run("check", "00", before=AS_A_USER, timeout=60)
    text = check.stdout + check.stderr
    assert "Traceback" not in text and 'File "' not in text, text
    assert check.returncode == (0 if state is odd_but_right else 1) and text.strip(), text
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    if state in (folder_for_file, loop, unreadable, pipe):
        assert "Dockerfile is no file that can be read" in text, text
    back = run("reset", "00", before=AS_A_USER, timeout=60)
    text = back.stdout + back.stderr
    assert "Traceback" not in text, text
    if back.returncode:
        says(back, "00_say_hello")
        assert state is unreadable_folder, text
    else:
        assert (lab / "Dockerfile").read_bytes() == (ROOT / "labs/00_say_hello/Dockerfile").read_bytes()
        assert sorted(path.name for path in lab.iterdir()) == ["Dockerfile", "lab.ipynb"]
        assert state is gone or "Your version is in" in back.stdout, text
    assert not [path for path in lab.parent.iterdir() if path.name.startswith(".new-")]


def emacs(lab: Path) -> None:
    """A buffer with unsaved changes: a link that leads nowhere."""
    (lab / ".#Dockerfile").symlink_to("ann@laptop.4711:1700000000")


def round_about(lab: Path) -> None:
    (lab / "app/up").symlink_to(lab, target_is_directory=True)
    (lab / "down").symlink_to("down")


def data_set(lab: Path) -> None:
    """Gigabytes that .dockerignore keeps at home, and a file of somebody else's."""
    (lab / "data").mkdir()
    with (lab / "data/2026.tar").open("wb") as file:
        file.truncate(2 << 30)
    (lab / "data/theirs").write_text("x")
    (lab / "data/theirs").chmod(0)


def pipe_beside(lab: Path) -> None:
    os.mkfifo(lab / "app/pipe")
    Path(os.fsdecode(os.fsencode(lab) + b"/not-utf8-\xff")).write_text("x")


@pytest.mark.parametrize(
    "state", [emacs, round_about, data_set, pipe_beside], ids=lambda state: state.__name__
)
def test_a_folder_that_is_copied_may_hold_anything(client, tmp_path, state) -> None:
    """Lab 03 copies the folder; its first promises are built and read from such a copy."""
    folder = tmp_path / "03_write_the_dockerfile"
    workspace.write(folder, workspace.derived_files(workspace.find("03"))[0])
    state(folder)
    lab = grading.load("03")
    report = grading.run(
        replace(
            lab, criteria=tuple(each for each in lab.criteria if each.key in ("builds", "context", "base"))
        ),
        folder,
    )
    assert report.passed, report


@pytest.mark.parametrize("content", [b"\xff\x00garbage", b"[]", b'{"00": 7}', b""])
def test_a_broken_progress_file_counts_as_none(run, tmp_path, content) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/progress.json").write_bytes(content)
    done = run("progress")
    assert done.returncode == 0 and "not started" in done.stdout, done.stderr


def test_progress_that_cannot_be_saved(run, lab, tmp_path) -> None:
    (lab / "Dockerfile").write_text(RIGHT)
    (tmp_path / "state").write_text("a file where the folder should be")
    done = run("check", "00")
    assert done.returncode == 0 and "all 3 hold" in done.stdout, (
        done.stdout + done.stderr
    )  # the judgement is not lost
    assert "Your progress cannot be saved" in done.stderr and "DOCKERLAB_STATE" in done.stderr


def test_clean_takes_what_a_learner_made(client, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DOCKERLAB_OWNER", f"lab{os.getpid()}")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    tag = f"dockerlab-mine:{os.getpid()}"
    assert run("build", str(tmp_path), "-t", tag).returncode == 0
    done = run("clean")
    assert done.returncode == 0 and "1 image" in done.stdout, done.stdout + done.stderr
    assert not client.images.list(tag)


# --- a checkout that cannot be written -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def read_only(checkout: Path) -> tuple[str, ...]:
    """The words before a command that make it see the checkout read-only; nobody else sees that."""
    if os.geteuid():
        pytest.skip("a read-only mount needs root")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, str(checkout))


def test_what_a_read_only_checkout_can_do(run, lab, tmp_path, read_only) -> None:
    (lab / "Dockerfile").write_text(RIGHT)
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    build = ("build", str(tmp_path / "context"), "-t", f"dockerlab-ro:{os.getpid()}")
    works = {
        ("doctor",): "harbour-n.pt",
        ("check", "00"): "all 3 hold",
        ("progress",): "passed",
        build: "COPY",
        ("clean",): "1 image",
    }
    for command, expected in works.items():
        done = run(*command, before=read_only, env={"DOCKERLAB_OWNER": f"ro{os.getpid()}"})
        assert done.returncode == 0 and expected in done.stdout, done.stdout + done.stderr
    [progress] = (tmp_path / "state").glob("progress-ro*.json")  # of a learner who shares the login
    assert json.loads(progress.read_text())["00"]["passed"]
    for command in ("reset", "solve"):
        says(run(command, "00", before=read_only), "cannot be written", "copy it to one that is")
    says(run("ladder", "minimal", before=read_only), "read-only", "DOCKERLAB_BUILD")


FIRST_STEPS = """
import json, sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in json.loads(sys.argv[1])])
NotebookClient(notebook, allow_errors=True, timeout=120, kernel_name="python3", resources={"metadata": {"path": sys.argv[2]}}).execute()
print(json.dumps([[item for item in cell.outputs if item.output_type == "error"] for cell in notebook.cells]))
"""


def test_the_first_steps_of_a_lesson_in_a_read_only_checkout(checkout, lab, tmp_path, read_only) -> None:
    lesson = json.loads((ROOT / "notebooks/00_start_here.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in lesson["cells"] if cell["cell_type"] == "code"]
    last = next(number for number, source in enumerate(cells) if "variants.stage_context" in source)
    steps = [source for source in cells[: last + 1] if "!" not in source]
    command = [*read_only, sys.executable, "-c", FIRST_STEPS, json.dumps(steps), str(checkout / "labs")]
    for build in ("", str(tmp_path / "build")):
        env = os.environ | {"PYTHONPATH": str(checkout), "DOCKERLAB_BUILD": build}
        done = subprocess.run(
            command, env=env, cwd=checkout, capture_output=True, text=True, timeout=200, check=True
        )
        *before, staged = json.loads(done.stdout)
        assert not any(before), before
        if build:
            assert not staged, staged
            continue
        text = "\n".join(staged[0]["traceback"])
        assert "This folder is read-only" in text and "Copy the course" in text and text.count("\n") < 6, text
    assert (tmp_path / "build/detection-api/Dockerfile.multistage").is_file()
