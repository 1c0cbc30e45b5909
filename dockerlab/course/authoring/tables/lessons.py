"""The lessons as tables see them: their cells by the number that a reader sees, and what the built notebooks keep of them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from dockerlab.course.authoring import notebooks


@dataclass(frozen=True)
class Cell:
    """One code cell of a lesson. `number` is the one that JupyterLab shows in brackets after a run from top to bottom."""

    lesson: Lesson = field(repr=False)
    id: str
    number: int
    source: str

    @property
    def link(self) -> str:
        """A relative Markdown link that JupyterLab opens at this very cell, seen from notebooks/."""
        return f"[{self.lesson.number}\N{NO-BREAK SPACE}[{self.number}]]({self.lesson.stem}.ipynb#cell-id={self.id})"


@dataclass(frozen=True)
class Lesson:
    """A lesson read from its source; `opening` is the text of its first cell."""

    stem: str
    opening: str
    cells: list[Cell] = field(default_factory=list, repr=False)

    @property
    def number(self) -> str:
        """Its two digits."""
        return self.stem[:2]

    @property
    def title(self) -> str:
        """What stands behind the first `#`."""
        return next(
            (line[2:].strip() for line in self.opening.splitlines() if line.startswith("# ")), self.stem
        )

    def find(self, snippet: str) -> Cell | None:
        """The first code cell whose source holds the snippet."""
        return next((cell for cell in self.cells if snippet in cell.source), None)


def read(root: Path) -> list[Lesson]:
    """Every lesson of sources/notebooks, in order. Raises BuildError for what a lesson may not hold."""
    return [_lesson(path) for path in sorted((root / "sources/notebooks").glob("*.py"))]


def _lesson(path: Path) -> Lesson:
    notebook = notebooks.lesson(path.read_text(encoding="utf-8"), path.stem, path.name)
    lesson = Lesson(path.stem, notebook.cells[0].source if notebook.cells else "")
    code = (cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip())
    lesson.cells.extend(Cell(lesson, cell.id, number, cell.source) for number, cell in enumerate(code, 1))
    return lesson


class Built:
    """The executed notebook of a lesson."""

    def __init__(self, path: Path) -> None:
        self.cells: list[NotebookNode] = nbformat.read(path, as_version=4).cells

    def problem(self, cell: Cell, shows: str = "") -> str:
        """Why the built notebook does not bear out a claim about this cell; empty where it does.

        The cell must have run, without an error that nobody expected, and it or a later cell of the same step must show something.
        """
        position = next((number for number, each in enumerate(self.cells) if each.get("id") == cell.id), None)
        if position is None or self.cells[position].source != cell.source:
            return "the notebook was built from another text"
        found = self.cells[position]
        if found.execution_count != cell.number:
            return f"the cell was not run from top to bottom (it says {found.execution_count}, not {cell.number})"
        if "raises-exception" not in found.metadata.get("tags", []) and any(
            each.output_type == "error" for each in found.outputs
        ):
            return "the cell ended in an error"
        if not any(each.outputs for each in self._step(position)):
            return "neither the cell nor a later one of its step shows anything"
        if shows and shows not in text(found):
            return f"its output does not hold {shows!r}"
        return ""

    def _step(self, position: int) -> Iterator[NotebookNode]:
        """The code cells from this one to the next heading."""
        for cell in self.cells[position:]:
            if cell.cell_type == "markdown" and re.search(r"(?m)^#", cell.source):
                return
            if cell.cell_type == "code":
                yield cell


def text(cell: NotebookNode) -> str:
    """All text that a cell's outputs keep: what it printed, plain results, tables without their HTML, errors."""
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts += [
            output.get("text", ""),
            data.get("text/plain", ""),
            html.unescape(re.sub(r"<[^>]*>", " ", data.get("text/html", ""))),
        ]
        parts += (
            [f"{output.get('ename', '')}: {output.get('evalue', '')}"]
            if output.output_type == "error"
            else []
        )
    return "\n".join(part for part in parts if part)
