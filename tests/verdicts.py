"""A pytest plugin: a lab's submission that was judged rightly before, by the same code and on the same engine, is not judged again.

As `make` does not make again what is newer than its sources. What a verdict depends on is hashed: the package, the assets, the lab, the
submission, the lock file, the engine and its base images. The verdicts lie in build/, which git ignores. They are not used in CI, nor
with `--judge-again` (`make test AGAIN=1`). The closing lines of a run say how many submissions were left out; they do not count as passed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dockerlab import bases, engine
from dockerlab.digest import of_files
from dockerlab.errors import CourseError
from dockerlab.site import ROOT

TEST = "test_a_submission_is_judged_by_what_it_does"
KEPT = ROOT / "build" / "verdicts"
SUBMISSIONS = ROOT / "tests" / "labs"
CODE = ("dockerlab/**/*", "assets/*/**/*", "tests/labs/test_labs.py", "requirements.lock")
MADE = {"figures", ".pytest_cache"}  # folders that no verdict depends on
LEFT_OUT = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is known, of the tests that would run."""
    if not _used(config):
        return
    known = [item for item in items if (folder := submission(item)) and (key := verdict(folder)) and (KEPT / key).exists()]
    if known:
        left_out = set(known)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=known)
        config.stash[LEFT_OUT] = len(known)
        if hasattr(config, "workeroutput"):
            config.workeroutput[TEST] = len(known)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Under `-n` each process collects the same tests and says how many it left out; the one that hands them out collects none."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get(TEST, 0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the verdict of a test that passed; under `-n` the process that hands out the tests does so."""
    if os.environ.get("PYTEST_XDIST_WORKER") or report.when != "call" or not report.passed:
        return
    place, _, test = report.nodeid.partition("::")
    if place.endswith("labs/test_labs.py") and test.startswith(f"{TEST}[") and (key := verdict(_folder(test))):
        with suppress(OSError):
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / key).write_text(test)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{count} submissions of labs are as they were when they were judged rightly on this engine, and were not "
                                    "judged again. `make test AGAIN=1` judges all.")


def _used(config: pytest.Config) -> bool:
    return not config.option.judge_again and not os.environ.get("CI")


def submission(item: pytest.Item) -> Path | None:
    """The folder that a test judges."""
    return _folder(item.name) if item.name.startswith(f"{TEST}[") else None


def _folder(test: str) -> Path:
    number, _, name = test.partition("[")[2].rstrip("]").partition("-")
    return SUBMISSIONS / number / name


@cache
def verdict(folder: Path) -> str:
    """The name under which the verdict of a submission is kept: a hash of all that it depends on; "" where no engine answers. Asks the engine."""
    if not (common := _common()):
        return ""
    lab = (ROOT / "sources" / "labs").glob(f"{folder.parent.name}_*/**/*")
    return hashlib.sha256(f"{common} {files(lab)} {files(folder.rglob('*'))}".encode()).hexdigest()[:32]


@cache
def _common() -> str:
    try:
        client = engine.connect()
    except CourseError:
        return ""
    info = client.info()
    images = [str(client.images.get(name).id) for name in sorted(bases.COURSE_BASES) if bases.present(client, name)]
    client.close()
    code = files(path for pattern in CODE for path in ROOT.glob(pattern))
    return " ".join([code, info["ID"], info["ServerVersion"], info["Driver"], *images])


def files(paths: Iterable[Path]) -> str:
    """A hash of the files that a verdict depends on."""
    return of_files((path for path in paths if not MADE & set(path.relative_to(ROOT).parts)), ROOT)
