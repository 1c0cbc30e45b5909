"""A pytest plugin for the cells of notebooks. It stands here, not in conftest.py, whose hooks for one test are not called for files elsewhere.

tests/conftest.py registers it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerlab.course.grading.judging import UNATTENDED

_said: dict[Path, str] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The kernel that starts with the first cell inherits the variable; a test of the package must not."""
    if item.path.suffix == ".ipynb":
        os.environ[UNATTENDED] = "1"
    else:
        os.environ.pop(UNATTENDED, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With a cell that fails, show what it wrote to stderr, and what the cell before it wrote, which nbval may have been told to ignore."""
    report = yield
    outputs = getattr(item, "test_outputs", None)  # of nbval, once the cell has run
    if call.when == "call" and outputs is not None:
        if report.failed:
            said = "".join(each["text"] for each in outputs if each.get("name") == "stderr")
            report.sections += [("What the cell wrote to stderr", said)] if said else []
            report.sections += (
                [("What the cell before wrote", _said[item.path])] if item.path in _said else []
            )
        _said[item.path] = "\n".join(
            str(each.get("text") or each.get("data", {}).get("text/plain", "")) for each in outputs
        )
    return report
