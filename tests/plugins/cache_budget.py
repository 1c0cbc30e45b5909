"""A pytest plugin: a run of all tests does not fill the disk with build cache.

Every build leaves its steps in the engine's cache, and the lessons build images with PyTorch in many ways: tens of gigabytes in a run.
Twice a minute, steps that this run made are given back, those used longest ago first, until what they hold is within a budget: a quarter
of the disk that was free when the run began, and at most BUDGET.
Steps that were there before the run stay, and so do those used in the last minutes, which another process may count on. So do those of
whoever else builds on this engine meanwhile: the cache does not say whose a step is, but the course's commands stand in its own files.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import docker
import pytest
import requests
from docker.errors import DockerException

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.engine import connection
from dockerlab.images.build_cache import cache_records

BUDGET = 16_000_000_000  # bytes; with 6 GB what other lessons had installed was installed again, which took a fifth of the whole run
RECENT = dt.timedelta(minutes=4)
EVERY = 30  # seconds
STARTED = dt.datetime.now(dt.UTC)
FREE: list[int] = []  # bytes of the disk, every SAMPLE seconds
SAMPLE = 5
AT_ONCE = 200  # steps that one request names
FOLDERS, BINARY, MOST = (
    ("assets", "dockerlab", "sources", "tests"),
    (".jpg", ".png", ".pt", ".onnx", ".pyc"),
    300_000,
)
ENDED = threading.Event()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Watch disk and cache, in the process that sees the whole run; the tests do not wait for it."""
    if not hasattr(session.config, "workerinput"):
        FREE.append(shutil.disk_usage(ROOT).free)
        for work in (_watch_the_disk, _watch_the_cache):
            threading.Thread(target=work, daemon=True).start()


def _watch_the_disk() -> None:
    while not ENDED.wait(SAMPLE):
        FREE.append(shutil.disk_usage(ROOT).free)


def _watch_the_cache() -> None:
    while not ENDED.wait(EVERY):
        with suppress(DockerException, requests.RequestException, CourseError):
            client = connection.connect()
            try:
                keep_within(client, min(BUDGET, FREE[0] // 4))
            finally:
                client.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """After the list of failures, since it often says why."""
    yield
    ENDED.set()
    start, least, end = (
        f"{size / 1e9:.1f} GB" for size in (FREE[0], min(FREE), shutil.disk_usage(ROOT).free)
    )
    terminalreporter.write_line(f"Disk free: {start} at the start, {least} at the least, {end} at the end.")


def keep_within(
    client: docker.DockerClient, budget: int, since: dt.datetime = STARTED, recent: dt.timedelta = RECENT
) -> int:
    """Give back steps made after `since` until they hold at most `budget` bytes; returns the bytes given back. Asks the engine."""
    records = [
        record | {"Shared": record["Shared"] or not is_ours(record["Description"])}
        for record in cache_records(client)
    ]
    going = too_many(records, budget, since, dt.datetime.now(dt.UTC) - recent)
    freed = 0
    for first in range(0, len(going), AT_ONCE):
        # The engine takes one value for a filter, and reads it as a regular expression.
        wanted = f"^({'|'.join(going[first : first + AT_ONCE])})$"
        with suppress(DockerException):
            freed += client.api.prune_builds(filters={"id": [wanted]}, all=True)["SpaceReclaimed"]
    return freed


def too_many(
    records: list[dict[str, Any]], budget: int, since: dt.datetime, before: dt.datetime
) -> list[str]:
    """Ids of the steps to give back: made after `since`, not used since `before`, those used longest ago first, ends before what they build on. Pure."""
    left = {record["ID"]: record for record in records}
    made = {key for key, record in left.items() if when(record["CreatedAt"]) > since and not record["Shared"]}
    held, going = sum(left[key]["Size"] for key in made), []
    children = Counter(parent for record in records for parent in parents(record))
    ends = {key for key in made if not children[key]}
    while held > budget:
        free = [key for key in ends if not left[key]["InUse"] and last_used(left[key]) <= before]
        oldest = min(free, key=lambda key: last_used(left[key]), default=None)
        if oldest is None:
            break
        going.append(oldest)
        ends.remove(oldest)
        held -= left[oldest]["Size"]
        for parent in parents(left[oldest]):
            children[parent] -= 1
            if parent in made and not children[parent]:
                ends.add(parent)
    return going


def is_ours(description: str) -> bool:
    """Whether the command of a step stands in a file of this repository; where a Dockerfile is put together from pieces, it may not."""
    command = _squeezed(re.sub(r"^(\[[^]]*\] [A-Z]+ |mount / from exec /bin/sh -c )", "", description))
    return command != _squeezed(description) and len(command) > 8 and command in _our_files()


@cache
def _our_files() -> str:
    """The text of whatever may hold a Dockerfile, each run of blanks and each end of a continued line as one blank."""
    files = (
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.stat().st_size < MOST
    )
    return "\n".join(
        _squeezed(path.read_text(encoding="utf-8", errors="replace"))
        for path in files
        if path.suffix not in BINARY
    )


def _squeezed(text: str) -> str:
    return " ".join(re.sub(r"\\+\n", " ", text).split())


def parents(record: dict[str, Any]) -> list[str]:
    """The steps that a step builds on; engines write the key with a space before it."""
    return record.get("Parents") or record.get(" Parents") or []


def last_used(record: dict[str, Any]) -> dt.datetime:
    return when(record["LastUsedAt"] or record["CreatedAt"])


def when(stamp: str) -> dt.datetime:
    """The engine writes nanoseconds, which Python cannot hold."""
    return dt.datetime.fromisoformat(stamp[:19]).replace(tzinfo=dt.UTC)
