"""A learner's folder in any state is copied within bounds, and what was handed out is compared without reading what need not be read."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from dockerlab.course.grading import folders
from dockerlab.course.grading.judging import Submission
from dockerlab.images.build_errors import ContextTooLarge


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "03_lab"
    (path / "app").mkdir(parents=True)
    (path / "Dockerfile").write_text("FROM scratch\nCOPY app /app\n")
    (path / ".dockerignore").write_text("*\n!app\n")
    (path / "app/main.py").write_text("print()\n")
    (path / "lab.ipynb").write_text("{}")
    return path


def copied(folder: Path, also: tuple[str, ...] = ()) -> set[str]:
    target = folders.duplicate(folder, folder.parent / f"copy-{len(list(folder.parent.iterdir()))}", also)
    return {
        path.relative_to(target).as_posix()
        for path in target.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


PLAIN = {"Dockerfile", ".dockerignore", "app/main.py"}


def test_what_a_build_takes_is_copied_and_what_is_asked_for(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data/large.bin").write_bytes(bytes(11_000_000))
    (folder / "app/__pycache__").mkdir()
    (folder / "app/__pycache__/main.pyc").write_bytes(b"x")
    (folder / "app/main.py").chmod(0o755)
    assert copied(folder) == PLAIN
    assert copied(folder, ("lab.ipynb", "logs/*")) == {*PLAIN, "lab.ipynb"}
    assert copied(folder, ("*",)) == {*PLAIN, "lab.ipynb"}  # what is large and not sent stays behind
    assert (folder.parent / "copy-1/app/main.py").stat().st_mode & 0o777 == 0o755


def test_links_stay_links_wherever_they_lead(folder: Path) -> None:
    (folder / "app/.#main.py").symlink_to("ann@laptop.4711:1")
    (folder / "app/self").symlink_to(folder, target_is_directory=True)
    (folder / "app/up").symlink_to("..", target_is_directory=True)
    (folder / "app/round").symlink_to("round")
    (folder / "app/other.py").symlink_to("main.py")
    assert copied(folder) == {
        *PLAIN,
        *(f"app/{name}" for name in (".#main.py", "self", "up", "round", "other.py")),
    }
    assert (folder.parent / "copy-1/app/other.py").readlink() == Path("main.py")


def test_what_is_no_file_is_left_out(folder: Path) -> None:
    os.mkfifo(folder / "app/pipe")
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(os.path.relpath(folder / "app/socket"))
        assert copied(folder) == PLAIN


def test_a_name_that_is_no_text_comes_along(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "app") + b"/not-utf8-\xff")).write_text("x")
    assert {os.fsencode(name) for name in copied(folder)} == {
        *(name.encode() for name in PLAIN),
        b"app/not-utf8-\xff",
    }


def test_size_is_known_before_anything_is_copied(folder: Path) -> None:
    for place in ("weights.pt", "app/weights.pt"):
        with (folder / place).open("wb") as file:
            file.truncate(2 << 30)
        if place == "weights.pt":
            assert copied(folder, ("*",)) == {*PLAIN, "lab.ipynb"}  # .dockerignore keeps it at home
            continue
        target = folder.parent / "none"
        with pytest.raises(ContextTooLarge, match=r"The build context holds 2,147 MB.*app/ \(2147 MB\)"):
            folders.duplicate(folder, target)
        assert not target.exists()


def test_what_cannot_be_read_is_named_only_where_the_build_needs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0)
    assert copied(folder) == PLAIN
    real = folders.shutil.copy2

    def refused(source: Path, target: Path) -> None:  # root may read everything
        if Path(source).name == "main.py":
            raise PermissionError(13, "Permission denied", str(source))
        real(source, target)

    monkeypatch.setattr(folders.shutil, "copy2", refused)
    with pytest.raises(folders.Unreadable, match="app/main.py cannot be read: Permission denied"):
        copied(folder)


def test_a_submission_judges_with_what_was_handed_out(folder: Path) -> None:
    (folder / "app/main.py").write_text("answers = 42\n")
    (folder / "app/more.py").write_text("answers = 42\n")
    with Submission(folder, lab="03") as submission:
        copy = submission.copy(given=("app/",))
        given = folders.given("03", "app/")
        assert {
            path.relative_to(copy).as_posix(): path.read_bytes()
            for path in (copy / "app").rglob("*")
            if path.is_file()
        } == given
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert not copy.parent.exists()


def test_what_is_not_as_it_was_handed_out(tmp_path: Path) -> None:
    for name, content in folders.given("04", "app/", "requirements.txt", "model/").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    places = ("app/", "requirements.txt", "model/")
    assert folders.changed(tmp_path, "04", *places) == []
    os.mkfifo(tmp_path / "app/pipe")
    (tmp_path / "app/__init__.py").unlink()
    (tmp_path / "app/__init__.py").symlink_to("nowhere")
    with (tmp_path / "model/harbour-n.pt").open("ab") as file:
        file.truncate(4 << 30)
    (tmp_path / "other").write_text("x")
    assert folders.changed(tmp_path, "04", *places, but=("model/harbour-n.pt",)) == [
        "app/__init__.py",
        "app/pipe",
    ]
    assert folders.changed(tmp_path, "04", *places) == ["app/__init__.py", "app/pipe", "model/harbour-n.pt"]
