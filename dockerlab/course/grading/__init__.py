"""Labs are judged here: `check("05")` in a notebook, `dockerlab check 05` in a terminal. The lab of a lesson is `LAB` in its `lab.py`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.course import workspace
from dockerlab.course.grading.judging import Criterion, Lab, NotStarted, Outcome, Submission, judge
from dockerlab.course.grading.progress import save_progress
from dockerlab.course.grading.report import Report, Status

LESSONS = Path(__file__).parents[2] / "lessons"

__all__ = [
    "Criterion",
    "Lab",
    "NotStarted",
    "Outcome",
    "Report",
    "Status",
    "Submission",
    "check",
    "known",
    "load",
    "run",
]


def known() -> list[str]:
    """The numbers of the labs that can be checked."""
    return sorted(_packages())


def _packages() -> dict[str, str]:
    """The lesson package of each lab, by its number. Found by its files: grading must not know the lessons."""
    return {path.parent.name[6:8]: path.parent.name for path in LESSONS.glob("lesson*/lab.py")}


def load(number: str) -> Lab:
    """The lab `5`, `05` or `05_name`; its module is imported only now. Raises CourseError for a lab that has no checks."""
    wanted = number.strip().split("_")[0]
    wanted = wanted.zfill(2) if wanted.isdigit() else wanted
    if wanted not in known():
        raise CourseError(f"Lab {number!r} has no checks.", fix=f"Labs: {', '.join(known()) or 'none yet'}.")
    lab = importlib.import_module(f"dockerlab.lessons.{_packages()[wanted]}.lab").LAB
    assert isinstance(lab, Lab)
    return lab


def run(
    lab: Lab | str, folder: Path | str | None = None, first: bool = False, past: Collection[str] = ()
) -> Report:
    """Judge a folder, by default the learner's in labs/. Talks to the engine; keeps no record. `first` and `past` as in judging.judge."""
    chosen = load(lab) if isinstance(lab, str) else lab
    where = Path(folder) if folder is not None else _own_folder(chosen)
    return judge(chosen, where.resolve(), first=first, past=past)


def check(lab: str, folder: Path | str | None = None, first: bool = False) -> Report:
    """Judge a lab. The learner's own folder, named or not, goes into the progress file; any other folder does not.

    With `first` the check ends at the first promise that fails, and only a lab that passes goes into the progress file.
    """
    report = run(lab, folder, first)
    if first and not report.passed:
        return report
    if folder is None or Path(folder).resolve() == _own_folder(load(lab)).resolve():
        try:
            save_progress(report)
        except CourseError as error:  # the judgement must not be lost with it
            print(error, file=sys.stderr)
        return replace(report, counted=True)
    return report


def _own_folder(lab: Lab) -> Path:
    return ROOT / "labs" / workspace.find(lab.number).name
