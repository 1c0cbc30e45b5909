"""notebooks/SYLLABUS.md: each thing that the course promises to show, and the cell or the lab criterion that shows it.

The lines stand in sources/syllabus/NN.toml, one file a lesson: `text` is the promise, `cell` a snippet of the code cell that keeps it,
`shows` a piece of that cell's output. With `lab = true`, `cell` is the key of a criterion of the lab.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dockerlab.course.authoring.regions import BuildError
from dockerlab.course.authoring.tables.lessons import Built, Lesson

if TYPE_CHECKING:
    from dockerlab.course.grading.judging import Lab

FOLDER = "sources/syllabus"
KEYS = {"text", "cell", "shows", "lab"}
INTRODUCTION = """\
# What the course shows, and where

Each line links to the cell that runs it; the number in brackets is the one beside the cell. A line of a lab names the criterion that judges it.
"""


@dataclass(frozen=True)
class Line:
    """One line of a sources/syllabus/NN.toml."""

    text: str
    cell: str
    shows: str = ""
    lab: bool = False


def read(path: Path) -> list[Line]:
    """The lines of one file. Raises BuildError that names the entry that is wrong."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("line", [])
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{FOLDER}/{path.name} cannot be read.", f"{error}.", "Mend that line.") from error
    lines = []
    for number, entry in enumerate(entries, 1):
        wrong = sorted(set(entry) - KEYS)
        missing = [key for key in ("text", "cell") if not str(entry.get(key, "")).strip()]
        if wrong or missing:
            what = f"knows no {', '.join(wrong)}" if wrong else f"has no {', '.join(missing)}"
            raise BuildError(
                f"{FOLDER}/{path.name}, line {number} {what}.", fix=f"An entry has {', '.join(sorted(KEYS))}."
            )
        lines.append(Line(**entry))
    return lines


def render(root: Path, lessons: list[Lesson], load: Callable[[str], Lab]) -> str:
    """The text of SYLLABUS.md. A line that nothing bears out gets a dash; `problems` says so."""
    parts = [INTRODUCTION]
    for lesson in lessons:
        path = root / FOLDER / f"{lesson.number}.toml"
        if path.is_file():
            rows = [f"| {_escaped(line.text)} | {_place(line, lesson, root, load)} |" for line in read(path)]
            parts.append(
                "\n".join(
                    [
                        f"## {lesson.number} [{lesson.title}]({lesson.stem}.ipynb)\n",
                        "| what | where |",
                        "|---|---|",
                        *rows,
                    ]
                )
                + "\n"
            )
    return "\n".join(parts)


def _place(line: Line, lesson: Lesson, root: Path, load: Callable[[str], Lab]) -> str:
    if not line.lab:
        cell = lesson.find(line.cell)
        return cell.link if cell else "—"
    folder = next((root / "sources/labs").glob(f"{lesson.number}_*"), None)
    criteria = (
        {criterion.key: criterion.promise for criterion in load(lesson.number).criteria} if folder else {}
    )
    if folder is None or line.cell not in criteria:
        return "—"
    return f"[lab {lesson.number}](../labs/{folder.name}/lab.ipynb): {_escaped(criteria[line.cell])}"


def problems(root: Path, lesson: Lesson, load: Callable[[str], Lab]) -> Iterator[str]:
    """One line for each promise of a lesson that its built notebook or its lab does not keep. Needs no engine."""
    path = root / FOLDER / f"{lesson.number}.toml"
    if not path.is_file():
        yield f"{FOLDER}/{path.name}: missing, though {lesson.stem} is there"
        return
    lines, notebook = read(path), root / "notebooks" / f"{lesson.stem}.ipynb"
    if not lines:
        yield f"{FOLDER}/{path.name}: holds no line"
    built = Built(notebook) if notebook.is_file() else None
    for number, line in enumerate(lines, 1):
        problem = _lab_problem(line, lesson, load) if line.lab else _cell_problem(line, lesson, built)
        if problem:
            yield f"{FOLDER}/{path.name}, line {number} ({line.text}): {problem}"


def _cell_problem(line: Line, lesson: Lesson, built: Built | None) -> str:
    cell = lesson.find(line.cell)
    if cell is None:
        return f"no code cell of {lesson.stem} holds {line.cell!r}"
    return built.problem(cell, line.shows) if built else f"{lesson.stem} is not built"


def _lab_problem(line: Line, lesson: Lesson, load: Callable[[str], Lab]) -> str:
    keys = [criterion.key for criterion in load(lesson.number).criteria]
    return (
        ""
        if line.cell in keys
        else f"lab {lesson.number} has no criterion {line.cell!r} (it has {', '.join(keys)})"
    )


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
