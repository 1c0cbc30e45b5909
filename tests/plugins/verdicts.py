"""A pytest plugin: what of a lab was judged rightly before, by the same code and on the same engine, is not judged again.

A lab's known submissions, its starter and the notebook of its solution, as `make` does not make again what is newer than its sources. What
a verdict depends on is hashed: the package, the assets, the lab, the submission or the notebook, the lock file, the engine and its base
images. The verdicts lie in build/, which git ignores. They are not used in CI, nor with `--judge-again` (`make test AGAIN=1`). The closing
lines of a run say how many were left out; they do not count as passed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.core.hashing import of_files
from dockerlab.core.settings import ROOT
from dockerlab.engine import connection
from dockerlab.images import base_images

SUBMISSION = "test_a_submission_is_judged_by_what_it_does"
STARTER = "test_the_starter_does_not_pass_and_raises_nothing"
KEPT = ROOT / "build" / "verdicts"
CODE = (
    "dockerlab/**/*",
    "assets/*/**/*",
    "tests/labs/test_labs.py",
    "requirements.lock",
    "nbval_sanitize.cfg",
)
MADE = {"figures", ".pytest_cache"}  # folders that no verdict depends on
LEFT_OUT = pytest.StashKey[int]()


_passed: Counter[Path] = Counter()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is known, of the tests that would run."""
    if not _used(config):
        return
    known = [
        item
        for item in items
        if (folder := subject(item.nodeid)) and (key := verdict(folder)) and (KEPT / key).exists()
    ]
    if known:
        left_out = set(known)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=known)
        config.stash[LEFT_OUT] = len({subject(item.nodeid) for item in known})
        if hasattr(config, "workeroutput"):
            config.workeroutput[SUBMISSION] = config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Under `-n` each process collects the same tests and says how many it left out; the one that hands them out collects none."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get(SUBMISSION, 0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the verdict of what passed, a notebook when all its cells did; under `-n` the process that hands out the tests does so."""
    if (
        os.environ.get("PYTEST_XDIST_WORKER")
        or report.when != "call"
        or not report.passed
        or not (folder := subject(report.nodeid))
    ):
        return
    _passed[folder] += 1
    if _passed[folder] == tests_of(folder) and (key := verdict(folder)):
        with suppress(OSError):
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / key).write_text(report.nodeid)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} submissions, starters and solutions of labs are as they were when they were judged rightly on "
            "this engine, and were not judged again. `make test AGAIN=1` judges all."
        )


def _used(config: pytest.Config) -> bool:
    return not config.option.judge_again and not os.environ.get("CI")


def subject(nodeid: str) -> Path | None:
    """The folder that a test judges: a submission's, a starter's or a solution's; None for any other test."""
    place, _, test = nodeid.partition("::")
    name, _, case = test.partition("[")
    case = case.rstrip("]")
    if place.endswith("labs/test_labs.py") and name == SUBMISSION:
        number, _, submission = case.partition("-")
        return ROOT / "tests" / "labs" / number / submission
    if place.endswith("labs/test_labs.py") and name == STARTER:
        return ROOT / "sources" / "labs" / case
    if place.startswith("solutions/") and place.endswith("/lab.ipynb"):
        return (ROOT / place).parent
    return None


@cache
def tests_of(folder: Path) -> int:
    """How many tests have to pass: each code cell of a solution's notebook, otherwise one."""
    if folder.parent.name != "solutions":
        return 1
    cells = json.loads((folder / "lab.ipynb").read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


@cache
def verdict(folder: Path) -> str:
    """The name under which a verdict is kept: a hash of all that it depends on; "" where no engine answers. Asks the engine."""
    if not (common := _common()):
        return ""
    number = folder.parent.name if folder.is_relative_to(ROOT / "tests") else folder.name.partition("_")[0]
    lab = (ROOT / "sources" / "labs").glob(f"{number}_*/**/*")
    place = folder.relative_to(ROOT).as_posix()  # a lab's starter and its solution are made of the same files
    return hashlib.sha256(f"{common} {files(lab)} {place} {files(folder.rglob('*'))}".encode()).hexdigest()[
        :32
    ]


@cache
def _common() -> str:
    try:
        client = connection.connect()
    except CourseError:
        return ""
    info = client.info()
    images = [
        str(client.images.get(name).id)
        for name in sorted(base_images.COURSE_BASES)
        if base_images.present(client, name)
    ]
    client.close()
    code = files(path for pattern in CODE for path in ROOT.glob(pattern))
    return " ".join([code, info["ID"], info["ServerVersion"], info["Driver"], *images])


def files(paths: Iterable[Path]) -> str:
    """A hash of the files that a verdict depends on."""
    return of_files((path for path in paths if not MADE & set(path.relative_to(ROOT).parts)), ROOT)
