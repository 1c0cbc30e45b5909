"""What tests/plugins/cells.py does for the cells of a notebook that lies outside tests/, as the lessons do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat

from dockerlab.course.grading.judging import UNATTENDED

ROOT = Path(__file__).parents[2]


def _run(folder: Path, *cells: tuple[str, str]) -> str:
    """What pytest prints of a notebook with these cells and their stored outputs, beside a file of tests/ as in `make test`."""
    notebook = nbformat.v4.new_notebook()
    for text, stored in cells:
        outputs = [nbformat.v4.new_output("stream", name="stdout", text=stored)] if stored else []
        notebook.cells.append(nbformat.v4.new_code_cell(text, execution_count=1, outputs=outputs))
    nbformat.write(notebook, folder / "lesson.ipynb")
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--nbval-current-env",
        "-k",
        "lesson",
        folder / "lesson.ipynb",
        __file__,
    ]
    nowhere = {"DOCKER_HOST": f"unix://{folder}/none.sock"}
    environment = {
        key: value for key, value in os.environ.items() if key != UNATTENDED and not key.startswith("PYTEST_")
    } | nowhere
    return subprocess.run(
        words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    ).stdout


def test_a_check_in_a_cell_does_not_say_what_it_waits_for(tmp_path) -> None:
    said = _run(
        tmp_path,
        (
            "import time\nfrom dockerlab.course.grading import judging\njudging.PATIENCE = 0.1\n"
            "with judging.waiting('the build', 60):\n    time.sleep(1)\nprint('built')",
            "built\n",
        ),
    )
    assert "1 passed" in said, said


def test_a_cell_that_fails_shows_its_stderr_and_what_the_one_before_wrote(tmp_path) -> None:
    said = _run(
        tmp_path,
        ("print('the port is 8080')", "the port is 8080\n"),
        ("import sys\nprint('no answer', file=sys.stderr)", ""),
    )
    assert "1 failed, 1 passed" in said and "no answer" in said and "the port is 8080" in said, said
