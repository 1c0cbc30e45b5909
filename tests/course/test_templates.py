"""The files of a new lesson and its lab fit into a course as they are laid down."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.course import workspace
from dockerlab.course.authoring import templates
from dockerlab.course.authoring.tables import lessons, overview


@pytest.fixture
def laid(tmp_path: Path) -> list[Path]:
    return [
        *templates.lay_down("lesson", "13", "watch_a_registry", tmp_path),
        *templates.lay_down("lab", "13", "mirror_it", tmp_path),
    ]


def test_a_lesson_is_in_four_folders_of_one_number(laid: list[Path], tmp_path: Path) -> None:
    places = {path.as_posix() for path in laid}
    assert {
        "sources/notebooks/13_watch_a_registry.py",
        "sources/syllabus/13.toml",
        "assets/quiz/13.toml",
        "dockerlab/lessons/lesson13_watch_a_registry/__init__.py",
        "dockerlab/lessons/lesson13_watch_a_registry/lab.py",
        "tests/lessons/lesson13_watch_a_registry/test_watch_a_registry.py",
        "sources/labs/13_mirror_it/criteria.toml",
        "tests/labs/13/right_python/expect.toml",
    } <= places
    assert all((tmp_path / path).is_file() for path in laid)
    left = [
        path for path in laid if "@" in (tmp_path / path).read_text(encoding="utf-8").replace("@sha256", "")
    ]
    assert left == []


def test_they_are_read_as_those_of_the_course_are(laid: list[Path], tmp_path: Path) -> None:
    [lesson] = lessons.read(tmp_path)
    assert overview.table([lesson]).endswith("| run one container and read what it prints | 5 |")
    entries = tomllib.loads((tmp_path / "sources/syllabus/13.toml").read_text())["line"]
    assert all(lesson.find(entry["cell"]) for entry in entries)
    solved, starter = workspace.derived_files(workspace.find("13", tmp_path), tmp_path)
    assert workspace.NOTEBOOK in solved and starter
    for path in laid:
        if path.suffix == ".py" and "sources" not in path.parts:
            ast.parse((tmp_path / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("number", "topic", "says"),
    [
        ("7", "x", "no number"),
        ("13", "Two Words", "no name"),
        ("13", "../x", "no name"),
        ("13", "again", "there already"),
    ],
)
def test_what_cannot_be_is_refused(
    laid: list[Path], number: str, topic: str, says: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CourseError, match=says):
        templates.lay_down("lesson", number, topic, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_course_has_no_lesson_like_it_yet() -> None:
    with pytest.raises(CourseError, match="is there already"):
        templates.lay_down("lab", "09", "harden_a_service", ROOT)
