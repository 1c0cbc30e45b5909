"""Build notebooks/, labs/, solutions/ and the tables made from them, or prove with --check (no Docker) that they are fresh.

build_course.py                 everything
build_course.py 05 00_start     lessons and labs whose name begins so
build_course.py --starters-only labs/ alone; nothing is executed
build_course.py --tables        the tables alone; nothing is executed
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.course import grading, workspace
from dockerlab.course.authoring import notebooks, tables
from dockerlab.course.authoring.regions import BuildError
from dockerlab.course.grading.judging import UNATTENDED
from dockerlab.engine import naming

CELL_TIMEOUT = 1800  # seconds; the first build of a lesson may install PyTorch
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
NOTEBOOK = workspace.NOTEBOOK


def read_source(path: Path) -> NotebookNode:
    """The unexecuted notebook of a lesson. Raises BuildError for what a lesson may not hold."""
    return notebooks.lesson(path.read_text(encoding="utf-8"), path.stem, path.name)


def execute(notebook: NotebookNode, folder: Path, name: str, root: Path) -> NotebookNode:
    """Run every cell in `folder` on the kernel python3 and clean the outputs.

    Raises BuildError that names lesson, cell and error.
    """
    os.environ |= {UNATTENDED: "1", naming.SETTING: "plain"}
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise BuildError(
            f"{name}, {_failed_cell(notebook)}: {error.ename}: {_one_line(error.evalue)}"
        ) from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise BuildError(
            f"{name}, {_failed_cell(notebook)}: {type(error).__name__}.", "The kernel died or took too long."
        ) from error
    return clean(notebook, name, root)


def clean(notebook: NotebookNode, name: str, root: Path) -> NotebookNode:
    """Drop from an executed notebook what belongs to this run or this machine."""
    metadata = json.loads(json.dumps(notebooks.METADATA))
    notebook.metadata = nbformat.from_dict(metadata | {"dockerlab": notebook.metadata["dockerlab"]})
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET_VIEW, None)
        cell.outputs = [item for item in cell.outputs if "data" not in item or item["data"]]
        forgiving = "nbval-ignore-output" in tags
        cell.outputs = [
            _without_root(item, root, f"{name}, cell {number}", forgiving) for item in cell.outputs
        ]
    return notebook


def _without_root(output: NotebookNode, root: Path, where: str, forgiving: bool) -> NotebookNode:
    """Shorten this checkout's path where nobody compares it; elsewhere another machine would print something else."""
    written = json.dumps(output)
    if f"{root}/" not in written and str(root) not in written:
        return output
    compared = json.dumps({key: value for key, value in output.items() if key != "traceback"})
    if str(root) in compared and not forgiving:
        raise BuildError(
            f"{where} prints the path of this checkout.",
            fix="Print a path relative to it, or tag it nbval-ignore-output.",
        )
    shortened: NotebookNode = nbformat.from_dict(
        json.loads(written.replace(f"{root}/", "").replace(str(root), "."))
    )
    return shortened


def build_lesson(source: Path, root: Path) -> None:
    """Build and execute one lesson; on any error the built file stays as it was."""
    notebook = read_source(source)
    target = root / "notebooks" / f"{source.stem}.ipynb"
    target.parent.mkdir(exist_ok=True)
    write(target, notebooks.dump(execute(notebook, target.parent, source.stem, root)))


def build_lab(source: Path, root: Path, starters_only: bool) -> None:
    """Build starter and solution of one lab; the solution's notebook is executed among the solved files."""
    solved, starter = workspace.derived_files(source, root)
    if not starters_only:
        with _staging(root / "solutions", source.name) as staged:
            _fill(staged, solved)
            if NOTEBOOK in solved:
                notebook = nbformat.reads(solved[NOTEBOOK].decode(), as_version=4)
                write(
                    staged / NOTEBOOK, notebooks.dump(execute(notebook, staged, f"lab {source.name}", root))
                )
                _fill(
                    staged,
                    {path: content for path, content in solved.items() if path != NOTEBOOK},
                    empty_first=True,
                )
            _swap(staged, root / "solutions" / source.name)
    if workspace.files(root / "labs" / source.name) != starter:
        workspace.replace(root / "labs", source.name, starter)


def build_tables(root: Path, forgiving: bool = False) -> None:
    """Write the tables that are made from all lessons; `forgiving` of lessons that somebody is still writing. Executes nothing."""
    try:
        for path, content in tables.derived(root, grading.load).items():
            if not (root / path).is_file() or (root / path).read_bytes() != content:
                print(f"table {path}", flush=True)
                write(root / path, content)
    except CourseError as error:
        if not forgiving:
            raise
        print(f"The tables stay as they were. {error}", file=sys.stderr)


class _staging:
    """A folder beside the target, so that relative paths mean the same there; removed unless it was moved away."""

    def __init__(self, parent: Path, name: str) -> None:
        parent.mkdir(exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f".building-{name}-", dir=parent))
        self.path.chmod(0o755)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _fill(folder: Path, contents: Mapping[PurePath, bytes], empty_first: bool = False) -> None:
    """Write files; with `empty_first` remove what the execution left behind (the executed notebook stays)."""
    if empty_first:
        for path in sorted(folder.rglob("*"), reverse=True):
            relative = PurePath(path.relative_to(folder))
            if path.is_file() and relative not in contents and relative != NOTEBOOK:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _swap(staged: Path, target: Path) -> None:
    old = target.with_name(f".old-{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    staged.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def stale(root: Path, names: Sequence[str] = ()) -> Iterator[str]:
    """One line for each built file that does not match its source, by content. Needs no engine and executes nothing."""
    lessons, labs = sources(root, names)
    for source in lessons:
        yield from _compare(root / "notebooks" / f"{source.stem}.ipynb", read_source(source), root)
    for source in labs:
        solved, starter = workspace.derived_files(source, root)
        yield from _compare_files(root / "labs" / source.name, starter, root)
        yield from _compare_files(
            root / "solutions" / source.name,
            {path: data for path, data in solved.items() if path != NOTEBOOK},
            root,
        )
        if NOTEBOOK in solved:
            expected = nbformat.reads(solved[NOTEBOOK].decode(), as_version=4)
            yield from _compare(root / "solutions" / source.name / NOTEBOOK, expected, root)
    if not names:
        yield from _orphans(root, lessons, labs)
        yield from tables.stale(root, grading.load)


def check(root: Path, names: Sequence[str] = ()) -> list[str]:
    """The lines of `stale`; empty where everything built matches its source."""
    return list(stale(root, names))


def _orphans(root: Path, lessons: Sequence[Path], labs: Sequence[Path]) -> Iterator[str]:
    known = {source.stem for source in lessons} | {tables.REFERENCE.stem}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        if path.stem not in known:
            yield f"{_relative(path, root)}: has no source"
    for folder in ("labs", "solutions"):
        for path in sorted((root / folder).glob("[!.]*")):
            if path.is_dir() and path.name not in {source.name for source in labs}:
                yield f"{_relative(path, root)}: has no source"


def _compare_files(folder: Path, expected: Mapping[PurePath, bytes], root: Path) -> Iterator[str]:
    found = workspace.files(folder)
    for path in sorted(set(expected) | set(found)):
        where = f"{_relative(folder, root)}/{path.as_posix()}"
        if path not in found:
            yield f"{where}: missing"
        elif path not in expected:
            if not (path == NOTEBOOK and folder.parent.name == "solutions"):
                yield f"{where}: has no source"
        elif found[path] != expected[path]:
            yield f"{where}: differs from its source"


def _compare(path: Path, expected: NotebookNode, root: Path) -> Iterator[str]:
    where = _relative(path, root)
    if not path.exists():
        yield f"{where}: missing"
        return
    try:
        found = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except Exception as error:  # nbformat raises many kinds
        yield f"{where}: not a notebook ({_one_line(str(error))})"
        return
    problem = _difference(found, expected)
    if problem:
        yield f"{where}: {problem}"


def _difference(found: NotebookNode, expected: NotebookNode) -> str:
    if len(found.cells) != len(expected.cells):
        return f"{len(found.cells)} cells, its source has {len(expected.cells)}"
    for number, (cell, wanted) in enumerate(zip(found.cells, expected.cells, strict=True)):
        for name in ("cell_type", "id", "source"):
            if cell.get(name) != wanted[name]:
                return f"cell {number} differs from its source ({name})"
        tags = wanted.metadata.get("tags", [])
        if cell.metadata.get("tags", []) != tags:
            return f"cell {number} differs from its source (tags)"
        if cell.cell_type == "code" and cell.source.strip():
            if not isinstance(cell.execution_count, int):
                return f"cell {number} was never executed"
            if "raises-exception" not in tags and any(item.output_type == "error" for item in cell.outputs):
                return f"cell {number} holds an error"
    if found.metadata.get("dockerlab") != expected.metadata["dockerlab"]:
        return "was built from another text (source_sha256)"
    return ""


def sources(root: Path, names: Sequence[str] = ()) -> tuple[list[Path], list[Path]]:
    """Sources of lessons and labs, all or those that begin with one of the names. Raises BuildError for a name unknown."""
    lessons = sorted((root / "sources/notebooks").glob("*.py"))
    labs = sorted(path for path in (root / "sources/labs").glob("[!._]*") if path.is_dir())
    unknown = [name for name in names if not any(path.name.startswith(name) for path in (*lessons, *labs))]
    if unknown:
        raise BuildError(
            f"No lesson or lab is called {', '.join(unknown)}.", fix="Name it as in sources/, for example 05."
        )
    chosen = tuple(names) or ("",)
    return [path for path in lessons if path.name.startswith(chosen)], [
        path for path in labs if path.name.startswith(chosen)
    ]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit code: 1 where something is stale or cannot be built."""
    parser = argparse.ArgumentParser(prog="build_course.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="lessons and labs whose name begins so; default: all"
    )
    parser.add_argument("--check", action="store_true", help="build nothing; list what is stale")
    parser.add_argument("--starters-only", action="store_true", help="build labs/ only, executing nothing")
    parser.add_argument("--tables", action="store_true", help="make the tables only, executing nothing")
    options = parser.parse_args(arguments)
    try:
        if options.tables:
            build_tables(root)
            return 0
        if options.check:
            lines = check(root, options.names)
            print("\n".join(lines) or "Everything built matches its source.")
            return 1 if lines else 0
        lessons, labs = sources(root, options.names)
        for source in [] if options.starters_only else lessons:
            print(f"lesson {source.stem}", flush=True)
            build_lesson(source, root)
        for source in labs:
            print(f"lab {source.name}", flush=True)
            build_lab(source, root, options.starters_only)
        build_tables(root, bool(options.names))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _failed_cell(notebook: NotebookNode) -> str:
    """The cell that failed: the first that holds an unexpected error, else the last that began."""
    begun = -1
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            if "raises-exception" not in cell.metadata.get("tags", []) and any(
                item.output_type == "error" for item in cell.outputs
            ):
                return f"cell {number}"
            begun = number if cell.execution_count or cell.outputs or begun < 0 else begun
    return f"cell {max(begun, 0)} or the next"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


if __name__ == "__main__":
    sys.exit(main())
