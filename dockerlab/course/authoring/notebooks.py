"""From a py:percent source to an unexecuted notebook: stable ids, few tags, and nothing that nbval cannot compare."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import PurePath
from typing import Any

import jupytext
import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from dockerlab.core.hashing import digest
from dockerlab.course.authoring.regions import BuildError, derive

TAGS = {"solution", "nbval-ignore-output", "raises-exception"}
METADATA: dict[str, Any] = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
BANNED = {
    "tqdm": "a progress bar never prints the same twice",
    "clear_output": "what it clears differs from run to run",
}


def lesson(text: str, name: str, where: str) -> NotebookNode:
    """The unexecuted notebook of a lesson. Raises BuildError for what a lesson may not hold."""
    notebook = _notebook(text, name, where, digest({PurePath(name): text.encode()}))
    for number, cell in enumerate(notebook.cells):
        if "solution" in cell.metadata.get("tags", []):
            raise BuildError(f"{where}, cell {number}: the tag `solution` belongs in labs.", fix="Remove it.")
    return notebook


def lab(text: str, name: str, where: str, source_sha256: str) -> tuple[NotebookNode, NotebookNode]:
    """The unexecuted notebooks of a lab: solution, starter. A cell has the same id in both."""
    texts = derive(text, where, cells=True)
    solution = _notebook(texts.solution, name, where, source_sha256)
    starter = _notebook(texts.starter, name, where, source_sha256)
    if [cell.id for cell in solution.cells] != [cell.id for cell in starter.cells]:
        raise BuildError(
            f"{where}: solution and starter do not have the same cells.",
            fix="Keep each region inside one cell.",
        )
    starter.cells = [cell for cell in starter.cells if "solution" not in cell.metadata.get("tags", [])]
    return solution, starter


def dump(notebook: NotebookNode) -> bytes:
    """The notebook as it stands on disk: sorted keys, indent 1, a newline at the end."""
    plain = json.loads(nbformat.writes(notebook, version=4))
    return (json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _notebook(text: str, name: str, where: str, source_sha256: str) -> NotebookNode:
    read = jupytext.reads(text, fmt="py:percent")
    suffix = hashlib.sha256(name.encode()).hexdigest()[:6]
    notebook: NotebookNode = nbformat.v4.new_notebook(metadata=json.loads(json.dumps(METADATA)))
    notebook.nbformat_minor = 5
    notebook.metadata["dockerlab"] = {"source_sha256": source_sha256}
    for number, cell in enumerate(read.cells):
        tags = cell.metadata.get("tags", [])
        unknown = [tag for tag in tags if tag not in TAGS]
        if unknown:
            raise BuildError(
                f"{where}, cell {number}: tag {', '.join(unknown)}.",
                fix=f"Only these are known: {', '.join(sorted(TAGS))}.",
            )
        if cell.cell_type == "code":
            lint(cell.source, f"{where}, cell {number}")
            made = nbformat.v4.new_code_cell(cell.source)
        else:
            made = nbformat.v4.new_markdown_cell(cell.source)
        made.id = f"{name[:2].lower()}-{number:03d}-{suffix}"
        if tags:
            made.metadata["tags"] = list(tags)
        notebook.cells.append(made)
    return notebook


def lint(source: str, where: str) -> None:
    """Refuse code whose output nbval cannot compare. Raises BuildError that names the cell."""
    if re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", source):
        raise BuildError(
            f"{where}: an nbval comment.", "A learner reads it.", "Use the tag `nbval-ignore-output`."
        )
    try:
        code = TransformerManager().transform_cell(source)
        tree = ast.parse(code)
    except SyntaxError as error:
        raise BuildError(f"{where}: not Python.", f"{error}.", "Mend the cell.") from error
    for statement in ast.walk(tree):
        if isinstance(statement, ast.stmt) and _followed_by_semicolon(code, statement):
            raise BuildError(
                f"{where}: a line ends in a semicolon, `;`.", "It does not hide the output.", "Remove it."
            )
        for name in _names(statement):
            if name in BANNED:
                raise BuildError(
                    f"{where}: {name}.", f"{BANNED[name].capitalize()}.", "Print the result once."
                )
        if isinstance(statement, ast.Call) and not _captured(statement):
            raise BuildError(
                f"{where}: subprocess without capture.",
                fix="Use subprocess.run with capture_output=True and print what matters.",
            )


def _followed_by_semicolon(code: str, statement: ast.stmt) -> bool:
    lines = code.splitlines()
    rest = lines[(statement.end_lineno or 1) - 1].encode()[statement.end_col_offset or 0 :].decode()
    return bool(re.fullmatch(r"\s*;\s*(#.*)?", rest))


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.Import | ast.ImportFrom):
        module = (getattr(node, "module", "") or "").split(".")
        return [*module, *(part for alias in node.names for part in alias.name.split("."))]
    return []


def _captured(call: ast.Call) -> bool:
    function = call.func
    if not (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "subprocess"
    ):
        return True
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if function.attr in ("call", "check_call"):
        return {"stdout", "stderr"} <= set(keywords)
    if function.attr != "run" or None in keywords:
        return True
    capture = keywords.get("capture_output")
    return (capture is not None and getattr(capture, "value", True) is not False) or {
        "stdout",
        "stderr",
    } <= set(keywords)
