"""Every lab is judged rightly: its solution passes, its starter does not, and each known mistake fails on its own criterion."""

from __future__ import annotations

import itertools
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import docker
import pytest

from dockerlab.course import grading, workspace
from dockerlab.course.grading import Report, Status
from dockerlab.core.settings import ROOT
from dockerlab.engine import connection, object_labels, process_marks

HERE = Path(__file__).parent
LABS = [path.name for path in sorted((ROOT / "sources/labs").glob("[!._]*")) if path.is_dir()]
WRONG, RIGHT = 4, 2  # so many of each lab at least
MISTAKES = 5  # so many of each lab `make test` judges at most; `make labs` judges all
SUBMISSIONS = sorted(path for path in HERE.glob("[0-9]*/*") if path.is_dir() and path.name.startswith(("wrong_", "right_")))


def _chosen() -> set[Path]:
    """What `make test` judges: all that is right, and of each lab four mistakes or five, the first of as many criteria as there are."""
    chosen: set[Path] = set()
    for _, paths in itertools.groupby(SUBMISSIONS, lambda path: path.parent):
        right, wrong = [], {}
        for path in paths:
            expected = tomllib.loads((path / "expect.toml").read_text(encoding="utf-8"))
            (wrong.setdefault(expected["fails"], []) if "fails" in expected else right).append(path)
        firsts = [each[0] for each in wrong.values()]
        others = [path for each in wrong.values() for path in each[1:]]
        chosen.update(right, firsts[:MISTAKES], others[: max(0, WRONG - len(firsts))])
    return chosen


def _cases() -> list[Any]:
    chosen = _chosen()
    return [pytest.param(path, id=f"{path.parent.name}-{path.name}", marks=[] if path in chosen else pytest.mark.every) for path in SUBMISSIONS]


def _lay_out(lab: str, folder: Path, over: Path | None = None, starter: bool = False) -> tuple[Path, dict[str, Any]]:
    """Write the lab's solution (or its starter) and the submission over it; returns the folder and what is expected."""
    solved, begun = workspace.derived_files(workspace.find(lab))
    target = folder / workspace.find(lab).name
    workspace.write(target, begun if starter else solved)
    if over is None:
        return target, {}
    expected = tomllib.loads((over / "expect.toml").read_text(encoding="utf-8"))
    shutil.copytree(over, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expect.toml", "__pycache__"))
    for name in expected.get("remove", []):
        (target / name).unlink()
    return target, expected


def _judge(lab: str, folder: Path, **how: Any) -> Report:
    report = grading.run(grading.load(lab), folder, **how)
    print(report)
    assert _left() == [], "the check left images"
    return report


def _left() -> list[str]:
    """Tags and ids of images that a check of this process made, whatever they are called now."""
    client = connection.connect()
    try:
        made = client.images.list(filters={"label": "dockerlab.kind=check"})
        mine = [each for each in made if each.labels.get(object_labels.TAG_LABEL, "").endswith(process_marks.mark())]
        return [name for each in mine for name in each.tags or [each.id]]
    finally:
        client.close()


def test_every_lab_has_checks_and_enough_submissions() -> None:
    for lab in LABS:
        number = lab.split("_")[0]
        names = [path.name for path in _chosen() if path.parent.name == number]
        assert number in grading.known()
        assert sum(name.startswith("wrong_") for name in names) >= WRONG, f"lab {number} has too few wrong submissions"
        assert sum(name.startswith("right_") for name in names) >= RIGHT, f"lab {number} has too few right submissions"


@pytest.mark.parametrize("lab", LABS)
def test_the_solution_says_that_it_passed_in_a_cell_that_nbval_compares(lab: str) -> None:
    """The notebook of the solution runs its own check, so `make test` judges it there."""
    cells = json.loads((ROOT / "solutions" / lab / "lab.ipynb").read_text(encoding="utf-8"))["cells"]
    compared = [cell for cell in cells if cell["cell_type"] == "code" and "report" in "".join(cell["source"]) and not cell["metadata"].get("tags")]
    said = json.dumps([cell["outputs"] for cell in compared])
    count = len(grading.load(lab).criteria)
    assert "passed: True" in said or "promises hold: True" in said or f"all {count} hold" in said


@pytest.mark.parametrize("lab", LABS)
def test_the_starter_does_not_pass_and_raises_nothing(lab: str, tmp_path: Path, client: docker.DockerClient) -> None:
    report = _judge(lab, _lay_out(lab, tmp_path, starter=True)[0], first=True)
    assert not report.passed
    assert "Traceback" not in str(report)


@pytest.mark.parametrize("path", _cases())
def test_a_submission_is_judged_by_what_it_does(path: Path, tmp_path: Path, client: docker.DockerClient) -> None:
    folder, expected = _lay_out(path.parent.name, tmp_path, path)
    if path.name.startswith("right_"):
        assert expected["approach"] and _judge(path.parent.name, folder).passed
        return
    report = _judge(path.parent.name, folder, first=True, past=expected.get("also", []))
    assert expected["mistake"]
    failed = [item for item in report.results if item.status is Status.FAILED]
    assert failed, "this mistake was not noticed"
    first = next(item for item in failed if item.key not in expected.get("also", []))
    assert first.key == expected["fails"]
    assert expected["hint"].lower() in f"{first.hint} {first.second_hint}".lower()
