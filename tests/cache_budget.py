"""A pytest plugin: a run of all tests does not fill the disk with build cache.

Every build leaves its steps in the engine's cache, and the lessons build images with PyTorch in many ways: tens of gigabytes in a run.
Twice a minute, steps that this run made are given back, those used longest ago first, until what they hold is within BUDGET.
Steps that were there before the run stay, and so do those used in the last minutes, which another process may count on.
"""

from __future__ import annotations

import datetime as dt
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import docker
import pytest
import requests
from docker.errors import DockerException

from dockerlab import engine
from dockerlab.errors import CourseError
from dockerlab.measure import cache_records
from dockerlab.site import ROOT

BUDGET = 6_000_000_000  # bytes
RECENT = dt.timedelta(minutes=4)
EVERY = 30  # seconds
STARTED = dt.datetime.now(dt.UTC)
FREE: list[int] = []  # bytes of the disk, every SAMPLE seconds
SAMPLE = 5
ENDED = threading.Event()
_looked = time.monotonic()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Watch the disk, in the process that sees the whole run."""
    if not hasattr(session.config, "workerinput"):
        FREE.append(shutil.disk_usage(ROOT).free)
        threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while not ENDED.wait(SAMPLE):
        FREE.append(shutil.disk_usage(ROOT).free)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """After the list of failures, since it often says why."""
    yield
    ENDED.set()
    start, least, end = (f"{size / 1e9:.1f} GB" for size in (FREE[0], min(FREE), shutil.disk_usage(ROOT).free))
    terminalreporter.write_line(f"Disk free: {start} at the start, {least} at the least, {end} at the end.")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    global _looked
    if nextitem is None or time.monotonic() > _looked + EVERY:
        _looked = time.monotonic()
        with suppress(DockerException, requests.RequestException, CourseError):
            client = engine.connect()
            try:
                keep_within(client, BUDGET)
            finally:
                client.close()


def keep_within(client: docker.DockerClient, budget: int, since: dt.datetime = STARTED, recent: dt.timedelta = RECENT) -> int:
    """Give back steps made after `since` until they hold at most `budget` bytes; returns the bytes given back. Asks the engine."""
    left = {record["ID"]: record for record in cache_records(client)}
    made = {key for key, record in left.items() if when(record["CreatedAt"]) > since and not record["Shared"]}
    held, freed, tried = sum(left[key]["Size"] for key in made), 0, set()
    while held - freed > budget:
        needed = {parent for record in left.values() for parent in parents(record)}
        ends = [record for key, record in left.items() if key in made - needed - tried and not record["InUse"]]  # a step that others build on stays
        oldest = min(ends, key=last_used, default=None)
        if oldest is None or last_used(oldest) > dt.datetime.now(dt.UTC) - recent:
            break
        tried.add(oldest["ID"])
        with suppress(DockerException):
            freed += client.api.prune_builds(filters={"id": [oldest["ID"]]}, all=True)["SpaceReclaimed"]
            del left[oldest["ID"]]
    return freed


def parents(record: dict[str, Any]) -> list[str]:
    """The steps that a step builds on; engines write the key with a space before it."""
    return record.get("Parents") or record.get(" Parents") or []


def last_used(record: dict[str, Any]) -> dt.datetime:
    return when(record["LastUsedAt"] or record["CreatedAt"])


def when(stamp: str) -> dt.datetime:
    """The engine writes nanoseconds, which Python cannot hold."""
    return dt.datetime.fromisoformat(stamp[:19]).replace(tzinfo=dt.UTC)
