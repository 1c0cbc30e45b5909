"""The course's tables: what is covered where, the command reference and the list of lessons in the README, made from its lessons; and what
the course stands on, made from docs/ground.toml.

Nothing here needs an engine or runs a cell: `derived` reads sources/ and docs/ground.toml, `problems` also the built notebooks; `load`
gives the lab of a number, whose criteria a table may name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dockerlab.course.authoring.tables import coverage, ground, lessons, overview, reference

if TYPE_CHECKING:
    from dockerlab.course.grading.judging import Lab

SYLLABUS = PurePosixPath("notebooks/SYLLABUS.md")
REFERENCE = PurePosixPath(f"notebooks/{reference.STEM}.ipynb")
README = PurePosixPath("README.md")
GROUND = PurePosixPath("docs/ground.md")


def derived(root: Path, load: Callable[[str], Lab]) -> dict[PurePosixPath, bytes]:
    """The tables that the sources under `root` give, by path; only those for which there is a source. Raises BuildError."""
    found, files = lessons.read(root), {}
    if (root / coverage.FOLDER).is_dir():
        files[SYLLABUS] = coverage.render(root, found, load).encode()
    if (root / reference.SOURCE).is_file():
        files[REFERENCE] = reference.render(root, found)
    if (root / README).is_file():
        files[README] = overview.splice((root / README).read_text(encoding="utf-8"), found).encode()
    if (root / ground.SOURCE).is_file():
        files[GROUND] = ground.render(ground.read(root)).encode()
    return files


def stale(root: Path, load: Callable[[str], Lab]) -> list[str]:
    """One line for each table on disk that is not what the sources give."""
    found = []
    for path, content in derived(root, load).items():
        file = root / path
        if not file.is_file():
            found.append(f"{path}: missing")
        elif file.read_bytes() != content:
            found.append(f"{path}: its table differs from its source")
    return found


def problems(root: Path, load: Callable[[str], Lab]) -> list[str]:
    """One line for each promise that no cell keeps, and each command that the reference does not explain or nobody runs."""
    found = lessons.read(root)
    lines = [line for lesson in found for line in coverage.problems(root, lesson, load)]
    return lines + list(reference.problems(root, found))
