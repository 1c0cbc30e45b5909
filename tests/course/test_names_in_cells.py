"""Whatever the cells of a lesson, a solution or a starter take from the package is there, comments that a learner takes away among it."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from dockerlab.core.settings import ROOT
from dockerlab.course import workspace

LABS = sorted((ROOT / "sources/labs").glob("[0-9]*"))
IMPORT = re.compile(r"^(?:# )*((?:from|import) dockerlab\b[^\n]*)", re.MULTILINE)


def _cells(notebook: bytes) -> Iterator[str]:
    for cell in json.loads(notebook)["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def _missing(cells: Iterator[str]) -> list[str]:
    """Imports that fail, and attributes of imported modules that do not exist."""
    found, modules = [], {}
    for cell in cells:
        for node in ast.walk(ast.parse("\n".join(IMPORT.findall(cell)))):
            for name in node.names if isinstance(node, ast.ImportFrom) else ():
                try:
                    modules[name.asname or name.name] = importlib.import_module(f"{node.module}.{name.name}")
                except ImportError:
                    package = importlib.import_module(node.module) if _is_there(node.module) else None
                    if name.name != "*" and not hasattr(package, name.name):
                        found.append(f"{node.module}.{name.name}")
        try:
            tree = ast.parse(TransformerManager().transform_cell(cell))
        except SyntaxError:  # a starter that a learner completes
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = modules.get(node.value.id)
                if module and not hasattr(module, node.attr):
                    found.append(f"{node.value.id}.{node.attr}")
    return found


def _is_there(module: str | None) -> bool:
    try:
        importlib.import_module(module or "")
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_a_lesson_names_nothing_that_is_not_there(path: Path) -> None:
    assert _missing(_cells(path.read_bytes())) == []


@pytest.mark.parametrize("source", LABS, ids=lambda path: path.name)
def test_a_lab_names_nothing_that_is_not_there(source: Path) -> None:
    for files in workspace.derived_files(source):
        assert _missing(_cells(files[workspace.NOTEBOOK])) == []


def test_what_is_not_there_is_found() -> None:
    cells = [
        "# from dockerlab.nowhere import x\nfrom dockerlab.engine import connection",
        "connection.nothing()",
    ]
    assert _missing(iter(cells)) == ["dockerlab.nowhere.x", "connection.nothing"]
