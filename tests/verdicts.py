"""A pytest plugin: a lab's submission that was judged rightly before, by the same code and on the same engine, is not judged again.

As `make` does not make again what is newer than its sources. What a verdict depends on is hashed: the package, the assets, the lab, the
submission, the lock file, the engine and its base images. The verdicts lie in build/, which git ignores. They are not used in CI, nor
with `--judge-again` (`make test AGAIN=1`). The closing lines of a run say how many submissions were left out; they do not count as passed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dockerlab import bases, engine
from dockerlab.errors import CourseError
from dockerlab.site import ROOT

TEST = "test_a_submission_is_judged_by_what_it_does"
KEPT = ROOT / "build" / "verdicts"
SUBMISSIONS = ROOT / "tests" / "labs"
CODE = ("dockerlab/**/*.py", "dockerlab/**/*.toml", "dockerlab/**/*.proto", "assets/*/**/*", "tests/labs/test_labs.py", "requirements.lock")
MADE = ("figures", "__pycache__", ".pytest_cache", "node_modules")  # folders that no verdict depends on


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not _used(config):
        return
    known = [item for item in items if (folder := submission(item)) and (key := verdict(folder)) and (KEPT / key).exists()]
    if known:
        left_out = set(known)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=known)


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
    if _used(config) and (count := len(_known_at_the_start())):
        terminalreporter.write_line(f"{count} submissions of labs are as they were when they were judged rightly on this engine, and were not "
                                    "judged again. `make test AGAIN=1` judges all.")


def pytest_sessionstart(session: pytest.Session) -> None:
    if _used(session.config):
        _known_at_the_start()


def _used(config: pytest.Config) -> bool:
    return not config.option.judge_again and not os.environ.get("CI")


@cache
def _known_at_the_start() -> tuple[Path, ...]:
    return tuple(folder for folder in sorted(SUBMISSIONS.glob("[0-9]*/*")) if (key := verdict(folder)) and (KEPT / key).exists())


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
    return hashlib.sha256(f"{common} {digest(lab)} {digest(folder.rglob('*'))}".encode()).hexdigest()[:32]


@cache
def _common() -> str:
    try:
        client = engine.connect()
    except CourseError:
        return ""
    info = client.info()
    images = [str(client.images.get(name).id) for name in sorted(bases.COURSE_BASES) if bases.present(client, name)]
    client.close()
    code = digest(path for pattern in CODE for path in ROOT.glob(pattern))
    return " ".join([code, info["ID"], info["ServerVersion"], info["Driver"], *images])


def digest(paths: Iterable[Path]) -> str:
    """A hash of files: their places and contents, in whatever order they come."""
    found = hashlib.sha256()
    for path in sorted(_files(paths)):
        found.update(f"{path.relative_to(ROOT).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if path.is_file() and not set(path.relative_to(ROOT).parts) & set(MADE))
