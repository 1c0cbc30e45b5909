"""Labs are derived from solutions: one source text gives the solved file and the starter.

    # --- solution
    the lines of the solution
    # --- starter
    # the lines that a learner finds instead, each behind one more comment sign
    # --- end

The `starter` part may be left out: then the starter has nothing in that place. Regions stand in any file whose
comments begin with `#` (Python, Dockerfile, YAML, env, shell, TOML, requirement lists). All other files are copied as they are.

A lab that works on files of the course lists them in `include.toml`, place in the lab = place in the repository, and gets them unchanged:

    "app" = "assets/detection-api/app"
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePath

from dockerlab.core.errors import CourseError

SUFFIXES = {".py", ".yaml", ".yml", ".env", ".txt", ".sh", ".toml", ".cfg", ".ini", ".conf"}
NAMES = {".dockerignore", ".env", ".gitignore", "Makefile"}
INCLUDE = "include.toml"
SKIPPED_PARTS = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache", ".DS_Store"}
MARK = re.compile(r"^(?P<indent>[ \t]*)# ?---+ *(?P<word>solution|starter|end)\b(?P<rest>.*)$")


class BuildError(CourseError):
    """A source that cannot be turned into a lesson or a lab."""


@dataclass(frozen=True)
class Derived:
    """The two texts that one source gives."""

    solution: str
    starter: str


def has_regions(path: PurePath) -> bool:
    """Whether regions are looked for in a file of this name."""
    return path.suffix in SUFFIXES or path.name in NAMES or path.name.startswith(("Dockerfile", ".env"))


def derive(text: str, where: str, cells: bool = False) -> Derived:
    """Split a source text into solution and starter.

    `where` names the file in errors; with `cells` the text is a py:percent notebook and a region must end in its cell.
    Raises BuildError, naming file and line, for nested, stray, unclosed and empty regions.
    """
    solution: list[str] = []
    starter: list[str] = []
    part, opened, filled = "", 0, False
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        mark = MARK.match(line.rstrip("\r\n"))
        if not mark:
            if part and cells and line.startswith("# %%"):
                raise _error(
                    where,
                    number,
                    f"a cell begins inside the region opened in line {opened}",
                    "End the region first.",
                )
            filled = filled or bool(line.strip())
            if part != "starter":
                solution.append(line)
            if part != "solution":
                starter.append(_uncommented(line, where, number) if part else line)
            continue
        word = mark["word"]
        if mark["rest"].strip():
            raise _error(where, number, f"text after the mark `{word}`", "Put it on a line of its own.")
        if word == "solution" and part:
            raise _error(
                where,
                number,
                f"a region inside the one opened in line {opened}",
                "Regions do not nest: end the first one.",
            )
        if word != "solution" and not part:
            raise _error(where, number, f"`{word}` without a region", "Begin it with `# --- solution`.")
        if word == "starter" and part == "starter":
            raise _error(where, number, "a second `starter` in one region", "Keep one of them.")
        if part and not filled:
            raise _error(
                where,
                number,
                f"the {part} part of the region opened in line {opened} is empty",
                "Fill it or remove it.",
            )
        opened = number if word == "solution" else opened
        part, filled = ("" if word == "end" else word), False
    if part:
        raise _error(where, opened, "this region is never closed", "End it with `# --- end`.")
    return Derived("".join(solution), "".join(starter))


def source_files(folder: Path) -> dict[PurePath, bytes]:
    """Every file of a lab's source folder by its relative path, without caches, in a stable order."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    relative = ((path, path.relative_to(folder)) for path in found)
    return {
        PurePath(name): path.read_bytes()
        for path, name in relative
        if not SKIPPED_PARTS & set(name.parts) and name.suffix != ".pyc"
    }


def included_files(folder: Path, root: Path) -> dict[PurePath, bytes]:
    """The files that a lab's include.toml names, by their place in the lab. Raises BuildError for one that does not exist."""
    listed = folder / INCLUDE
    if not listed.is_file():
        return {}
    where = f"{folder.name}/{INCLUDE}"
    try:
        places = tomllib.loads(listed.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BuildError(
            f"{where}: not TOML.", f"{error}.", 'Write lines like "app" = "assets/detection-api/app".'
        ) from error
    found: dict[PurePath, bytes] = {}
    for place, original in places.items():
        path = root / str(original)
        if path.is_dir():
            found |= {PurePath(place) / name: content for name, content in source_files(path).items()}
        elif path.is_file():
            found[PurePath(place)] = path.read_bytes()
        else:
            raise BuildError(
                f"{where}: there is no {original}.",
                fix="Correct the path; it starts at the root of the repository.",
            )
    return found


def derive_bytes(content: bytes, path: PurePath, where: str) -> tuple[bytes, bytes]:
    """Solution and starter of one file that is no notebook; files without regions come back unchanged, byte for byte."""
    if not has_regions(path):
        return content, content
    try:
        derived = derive(content.decode("utf-8"), where)
    except UnicodeDecodeError as error:
        raise BuildError(f"{where}: not UTF-8.", f"{error}.", "Save it as UTF-8.") from error
    if path.suffix == ".py":
        _must_compile(derived, where)
    return derived.solution.encode(), derived.starter.encode()


def _must_compile(derived: Derived, where: str) -> None:
    for name, text in (("solution", derived.solution), ("starter", derived.starter)):
        try:
            compile(text, where, "exec")
        except SyntaxError as error:
            raise BuildError(
                f"{where}: the {name} is not Python.", f"{error}.", "Give the region a `# --- starter` part."
            ) from error


def _uncommented(line: str, where: str, number: int) -> str:
    if not line.strip():
        return line
    match = re.match(r"^([ \t]*)#(?: (.*)|)$", line.rstrip("\r\n"))
    if not match:
        raise _error(where, number, "a starter line that is not behind `# `", "Put `# ` in front of it.")
    end = line[len(line.rstrip("\r\n")) :]
    return (match[1] + match[2] if match[2] else "") + end


def _error(where: str, number: int, what: str, fix: str) -> BuildError:
    return BuildError(f"{where}:{number}: {what}.", fix=fix)
