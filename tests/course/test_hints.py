"""Hints cost nothing and are counted, each once, wherever they are read."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from dockerlab import cli as command_line
from dockerlab.core.errors import CourseError
from dockerlab.course import grading
from dockerlab.course.grading import Criterion, Lab, Outcome, commands, progress


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course with one lab, 05, of two criteria, of which the second never holds; its progress is empty."""
    outcomes = {"image": Outcome(True, "85 MB"), "start": Outcome(False, "9 s")}
    criteria = tuple(
        Criterion(
            key,
            f"The {key} is small",
            "why",
            f"look at {key}",
            f"line of {key}",
            "small",
            lambda _, key=key: outcomes[key],
        )
        for key in outcomes
    )
    module = ModuleType("dockerlab.lessons.lesson05_multi_stage.lab")
    module.LAB = Lab("05", "shrink", criteria)  # type: ignore[attr-defined]
    (tmp_path / "sources/labs/05_shrink").mkdir(parents=True)
    (tmp_path / "labs/05_shrink").mkdir(parents=True)
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setitem(sys.modules, "dockerlab.lessons.lesson05_multi_stage.lab", module)
    monkeypatch.setattr(grading, "known", lambda: ["05"])
    monkeypatch.setattr(grading, "ROOT", tmp_path)
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    find = grading.workspace.find
    monkeypatch.setattr(grading.workspace, "find", lambda lab: find(lab, tmp_path))
    return tmp_path


def _read() -> dict[str, int]:
    return progress.hints_read(progress.load_progress().get("05", {}))


def test_the_command_gives_one_hint_more_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["hint", "5", "2"]) == 0
    assert capsys.readouterr().out == "The start is small\n  look at start\n" and _read() == {"start": 1}
    for _ in range(2):
        assert commands.hint("05", 2) == 0
        assert (
            capsys.readouterr().out == "The start is small\n  look at start\n  line of start\n"
            and _read() == {"start": 2}
        )


def test_without_a_number_the_criteria_are_listed_and_nothing_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands.hint("05", 1)
    capsys.readouterr()
    assert command_line.main(["hint", "05"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        " 1. The image is small (1 of 2 hints read)",
        " 2. The start is small (0 of 2 hints read)",
    ]
    assert _read() == {"image": 1}


def test_a_number_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CourseError, match="no criterion 3"):
        commands.hint("05", 3)
    assert command_line.main(["hint", "05", "0"]) == 1 and _read() == {}


def test_the_report_of_the_own_folder_counts_and_a_later_check_keeps_the_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "line of start" in grading.check("05").hints()
    assert _read() == {"start": 2}
    grading.check("05")
    assert _read() == {"start": 2} and progress.load_progress()["05"]["held"] == 1
    commands.progress()
    assert "1 of 2 criteria hold, 2 hints read" in capsys.readouterr().out


def test_the_report_of_another_folder_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert "line of start" in grading.check("05", tmp_path / "elsewhere").hints() and _read() == {}


def test_a_progress_file_with_nonsense_in_it_counts_as_none() -> None:
    assert progress.hints_read({"hints": ["a"]}) == {} and progress.hints_read(
        {"hints": {"a": "b", "c": 1}}
    ) == {"c": 1}
