"""notebooks/A1_command_reference.ipynb: every docker command that a lesson runs, what it does, its docker-py call, where it is taught.

What the lessons run is read from their cells. What a command does and its docker-py call stand in sources/commands.toml, in the order
of the reference: `[[command]]` with `group`, `name`, `does`, and either `python` (a call that some lesson makes) or `none` (why there is
none); `note` is shown beside it.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from dockerlab.course.authoring import notebooks
from dockerlab.course.authoring.regions import BuildError
from dockerlab.course.authoring.tables import shell
from dockerlab.course.authoring.tables.lessons import Cell, Lesson

SOURCE = "sources/commands.toml"
STEM = "A1_command_reference"
KEYS = {"group", "name", "does", "python", "none", "note"}
# Attributes of a client that hold many things: `client.images.get` is a call on the collection, `image.tag` one on a thing.
COLLECTIONS = {
    "client",
    "api",
    "containers",
    "images",
    "networks",
    "volumes",
    "services",
    "nodes",
    "secrets",
    "configs",
    "swarm",
    "plugins",
}
INTRODUCTION = """\
# Command reference

Every `docker` command that the lessons run, with the options that they give it, the docker-py call that does the same, and the cells where you meet it. \
A link opens the cell; the number in brackets is the one beside it.
"""
HEADER = "| command | what it does | docker-py | where |\n|---|---|---|---|"


@dataclass(frozen=True)
class Entry:
    """One command of sources/commands.toml."""

    group: str
    name: str
    does: str
    python: str = ""
    none: str = ""
    note: str = ""


@dataclass
class Use:
    """What the lessons do with one command: its options in the order they appear, and the first cell of each lesson that runs it."""

    flags: dict[str, None] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)


def read(root: Path) -> list[Entry]:
    """The entries of sources/commands.toml. Raises BuildError for one that cannot be used."""
    try:
        entries = tomllib.loads((root / SOURCE).read_text(encoding="utf-8")).get("command", [])
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{SOURCE} cannot be read.", f"{error}.", "Mend that line.") from error
    seen: set[str] = set()
    for entry in entries:
        name = entry.get("name", "(no name)")
        if (
            set(entry) - KEYS
            or not {"group", "name", "does"} <= set(entry)
            or ("python" in entry) == ("none" in entry)
        ):
            raise BuildError(
                f"{SOURCE}: {name} is not complete.",
                fix="It has group, name, does, and either python or none.",
            )
        if name in seen:
            raise BuildError(f"{SOURCE}: {name} comes twice.", fix="Remove one.")
        seen.add(name)
    return [Entry(**entry) for entry in entries]


def uses(lessons: list[Lesson]) -> dict[str, Use]:
    """Every docker command that a lesson runs, by name."""
    found: dict[str, Use] = defaultdict(Use)
    for lesson in lessons:
        for cell in lesson.cells:
            for command in shell.commands(cell.source, f"{lesson.stem} [{cell.number}]"):
                use = found[command.name]
                use.flags |= dict.fromkeys(command.flags)
                use.cells.setdefault(lesson.number, cell)
    return dict(found)


def calls(lessons: list[Lesson]) -> dict[tuple[str, ...], Cell]:
    """Every call in a lesson as the names that lead to it, (client, images, get), and the first cell that makes it.

    A method that stands in a tuple or a list to be called, `for move in (box.start, box.stop)`, counts where no lesson calls it by itself.
    """
    made: dict[tuple[str, ...], Cell] = {}
    listed: dict[tuple[str, ...], Cell] = {}
    for cell in (cell for lesson in lessons for cell in lesson.cells):
        for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell.source))):
            if isinstance(node, ast.Call):
                made.setdefault(tuple(_chain(node.func)), cell)
            elif isinstance(node, ast.Tuple | ast.List):
                for each in node.elts:
                    listed.setdefault(tuple(_chain(each)), cell)
    return made | {names: cell for names, cell in listed.items() if names not in made}


def _chain(node: ast.expr) -> list[str]:
    """`client.images.get(x).tag` is client, images, get, tag; what is neither a name, an attribute nor a call is nameless."""
    match node:
        case ast.Name():
            return [node.id]
        case ast.Attribute():
            return [*_chain(node.value), node.attr]
        case ast.Call():
            return _chain(node.func)
        case ast.Subscript():
            return _chain(node.value)
        case _:
            return [""]


def made_in(python: str, made: dict[tuple[str, ...], Cell]) -> Cell | None:
    """The first cell that makes the call: `client.images.prune(…)` as it is, `image.tag(…)` on any thing, `build(…)` by its name."""
    wanted = tuple(python.split("(")[0].strip().split("."))
    return next((cell for names, cell in made.items() if _is_call(names, wanted)), None)


def _is_call(names: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    if wanted[0] == "client" and len(wanted) > 2:  # whatever the client is called
        return names[1 - len(wanted) :] == wanted[1:]
    if wanted[0] == "client" or len(wanted) == 1:
        return names[-len(wanted) :] == wanted
    return len(names) > 1 and names[-1] == wanted[-1] and names[-2] not in COLLECTIONS


def problems(root: Path, lessons: list[Lesson]) -> Iterator[str]:
    """One line for each command without an entry, entry without a command, and docker-py call that no lesson makes."""
    entries, used, made = read(root), uses(lessons), calls(lessons)
    known = {entry.name for entry in entries}
    for name, use in used.items():
        if name not in known:
            where = ", ".join(f"{cell.lesson.stem} [{cell.number}]" for cell in use.cells.values())
            yield f"{SOURCE}: `{name}` is missing; it is run in {where}"
    for entry in entries:
        if entry.name not in used:
            yield f"{SOURCE}: `{entry.name}` is run in no lesson"
        elif entry.python and made_in(entry.python, made) is None:
            yield f"{SOURCE}: `{entry.name}` names {entry.python}, which no lesson calls"


def render(root: Path, lessons: list[Lesson]) -> bytes:
    """The notebook: one Markdown cell a group. Commands that no lesson runs are left out; `problems` says so."""
    entries, used, made = read(root), uses(lessons), calls(lessons)
    groups: dict[str, list[str]] = {}
    for entry in entries:
        if entry.name in used:
            groups.setdefault(entry.group, []).append(_row(entry, used[entry.name], made))
    texts = [INTRODUCTION, *(f"## {group}\n\n{HEADER}\n" + "\n".join(rows) for group, rows in groups.items())]
    notebook = nbformat.v4.new_notebook(metadata=json.loads(json.dumps(notebooks.METADATA)))
    notebook.metadata["dockerlab"] = {"made_from": SOURCE}
    for number, text in enumerate(texts):
        cell = nbformat.v4.new_markdown_cell(text.strip())
        cell.id = f"a1-{number:03d}"
        notebook.cells.append(cell)
    notebook.nbformat_minor = 5
    return notebooks.dump(notebook)


def _row(entry: Entry, use: Use, made: dict[tuple[str, ...], Cell]) -> str:
    cell = made_in(entry.python, made) if entry.python else None
    python = f"none: {entry.none}" if entry.none else f"`{entry.python}`" + (f" {cell.link}" if cell else "")
    python += f", {entry.note}" if entry.note else ""
    options = " ".join(
        f'<code style="white-space: nowrap">{flag}</code>' for flag in use.flags
    )  # a plain code span breaks after a hyphen
    where = ", ".join(cell.link for cell in use.cells.values())
    return f"| `{entry.name}`{f'<br>{options}' if options else ''} | {entry.does} | {python} | {where} |"
