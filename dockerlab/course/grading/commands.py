"""`dockerlab check | hint | reset | solve | progress`: each prints its result and returns the exit code; errors are CourseErrors."""

from __future__ import annotations

from pathlib import Path

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.course import grading, workspace
from dockerlab.course.grading.progress import count_hints, hints_read, load_progress


def check(lab: str, folder: str | Path | None = None, first: bool = False) -> int:
    """Judge a lab: 0 where every criterion holds, else 1. With `first` it ends at the first that does not."""
    report = grading.check(lab, folder, first)
    print(report)
    return 0 if report.passed else 1


def hint(lab: str, criterion: int | None = None) -> int:
    """Print one more hint for a criterion (from 1), and all that were read before; without a number, list the criteria.

    Hints cost nothing, but are counted in the progress file. Raises CourseError for a criterion that is not there.
    """
    chosen = grading.load(lab)
    read = hints_read(load_progress().get(chosen.number, {}))
    if criterion is None:
        for number, each in enumerate(chosen.criteria, 1):
            print(f"{number:>2}. {each.promise} ({read.get(each.key, 0)} of 2 hints read)")
        return 0
    if not 1 <= criterion <= len(chosen.criteria):
        raise CourseError(
            f"Lab {chosen.number} has no criterion {criterion}.", fix=f"Use 1 to {len(chosen.criteria)}."
        )
    each = chosen.criteria[criterion - 1]
    now = min(2, read.get(each.key, 0) + 1)
    print("\n  ".join([each.promise, each.hint, each.second_hint][: now + 1]))
    count_hints(chosen.number, each.key, now)
    return 0


def reset(lab: str) -> int:
    """Put the starter into labs/, keeping what was there."""
    return _say(lab, "the starter", workspace.reset(lab))


def solve(lab: str) -> int:
    """Put the solution into labs/, keeping what was there."""
    return _say(lab, "the solution", workspace.solve(lab))


def progress() -> int:
    """Print one line for each lab: passed, how far, or not started."""
    noted = load_progress()
    sources = {
        path.name.split("_")[0]: path.name
        for path in sorted((ROOT / "sources/labs").glob("[!._]*"))
        if path.is_dir()
    }
    numbers = sorted({*sources, *noted, *grading.known()})
    if not numbers:
        print("There are no labs yet.")
    for number in numbers:
        print(_line(number, sources.get(number, number), noted.get(number, {})))
    return 0


def _line(number: str, name: str, note: dict[str, object]) -> str:
    if note.get("passed"):
        mark, text = "✓", "passed"
    elif note.get("started"):
        mark, text = "✗", f"{note.get('held', 0)} of {note.get('of', '?')} criteria hold"
    else:
        mark, text = "·", "not started"
    hints = sum(hints_read(note).values())
    text += f", {hints} hint{'s' if hints > 1 else ''} read" if hints else ""
    return f"{mark} {number}  {name.partition('_')[2].replace('_', ' ') or note.get('name', ''):<32} {text}"


def _say(lab: str, what: str, kept: Path | None) -> int:
    folder = f"labs/{workspace.find(lab).name}"
    print(
        f"{folder} holds {what}."
        + (f" Your version is in {kept.relative_to(ROOT).as_posix()}." if kept else "")
    )
    return 0
