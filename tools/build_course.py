"""Build notebooks/ from sources/notebooks/, one way only: text -> cells -> executed -> cleaned -> written.

    python tools/build_course.py [NAME ...]     # build all, or the named ones
    python tools/build_course.py --check        # prove without Docker that what is built matches its source
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
TAGS = {"solution", "nbval-ignore-output", "raises-exception"}
WIDGET = "application/vnd.jupyter.widget-view+json"
BANNED = (
    (re.compile(r"\btqdm\b"), "tqdm prints differently every time"),
    (re.compile(r"\bclear_output\b"), "clear_output hides what nbval compares"),
    (re.compile(r"^[^#\n]*;\s*$", re.MULTILINE), "a trailing semicolon no longer hides output"),
)


class CourseBuildError(Exception):
    """A source that cannot be built; the message names the file and what to mend."""


def read_source(path: Path) -> nbformat.NotebookNode:
    """The cells of a py:percent source, with ids made of the lesson's name and the cell's position."""
    text = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    clean = nbformat.v4.new_notebook()
    for number, cell in enumerate(notebook.cells):
        tags = list(cell.metadata.get("tags", []))
        unknown = set(tags) - TAGS
        if unknown:
            raise CourseBuildError(f"{path.name}, cell {number}: the tag {', '.join(sorted(unknown))} is not used in this course.")
        if cell.cell_type == "code":
            for pattern, why in BANNED:
                if pattern.search(cell.source):
                    raise CourseBuildError(f"{path.name}, cell {number}: {why}.")
        make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        new = make(cell.source, metadata={"tags": tags} if tags else {})
        new["id"] = f"{path.stem[:2].lower()}-{number:03d}-{hashlib.sha256(path.stem.encode()).hexdigest()[:6]}"
        clean.cells.append(new)
    clean.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "dockerlab": {"source_sha256": hashlib.sha256(text.encode()).hexdigest()},
    })
    return clean


def execute(notebook: nbformat.NotebookNode, folder: Path, name: str) -> nbformat.NotebookNode:
    """Run every cell in `folder`. Raises CourseBuildError naming the cell that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = notebook.metadata
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(folder)}})
    try:
        client.execute()
    except CellExecutionError as error:
        failed = next((i for i, cell in enumerate(notebook.cells) for out in cell.get("outputs", []) if out.output_type == "error"), "?")
        raise CourseBuildError(f"{name}, cell {failed}: {error.ename}: {error.evalue}") from error
    notebook.metadata = metadata
    return notebook


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run without meaning anything: widget views and state, and the Python version."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write atomically and in one stable form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.validate(notebook)
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def differences(source: nbformat.NotebookNode, built: nbformat.NotebookNode) -> list[str]:
    """What tells that a built notebook is not the product of its source."""
    found: list[str] = []

    def key(cell: Any) -> tuple[Any, ...]:
        return cell.cell_type, cell.id, cell.source, tuple(cell.metadata.get("tags", []))

    if built.metadata.get("dockerlab") != source.metadata["dockerlab"]:
        found.append("its source has changed")
    if [key(cell) for cell in source.cells] != [key(cell) for cell in built.cells]:
        found.append("its cells are not those of its source")
    for number, cell in enumerate(built.cells):
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            found.append(f"cell {number} was not run")
        errors = any(output.output_type == "error" for output in cell.get("outputs", []))
        if errors and "raises-exception" not in cell.metadata.get("tags", []):
            found.append(f"cell {number} ended with an error")
    return found


def check(root: Path) -> list[str]:
    """One line for each notebook that is missing, stale, or has no source. Needs no Docker."""
    sources = {path.stem: path for path in sorted((root / "sources" / "notebooks").glob("*.py"))}
    lines = []
    for name, path in sources.items():
        target = root / "notebooks" / f"{name}.ipynb"
        if not target.exists():
            lines.append(f"notebooks/{name}.ipynb is missing")
            continue
        lines += [f"notebooks/{name}.ipynb: {what}" for what in differences(read_source(path), nbformat.read(target, as_version=4))]
    built = {path.stem for path in (root / "notebooks").glob("*.ipynb")}
    return lines + [f"notebooks/{name}.ipynb has no source" for name in sorted(built - set(sources))]


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Build or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of lesson names; default: all")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args(argv)
    try:
        if args.check:
            stale = check(root)
            print("\n".join(stale) + "\nRun `make course`." if stale else "Every notebook is the product of its source.")
            return 1 if stale else 0
        for path in sorted((root / "sources" / "notebooks").glob("*.py")):
            if not args.names or path.stem.startswith(tuple(args.names)):
                write(clean(execute(read_source(path), root / "notebooks", path.stem)), root / "notebooks" / f"{path.stem}.ipynb")
                print(f"built notebooks/{path.stem}.ipynb", flush=True)
    except CourseBuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
