"""A pytest plugin for `-n N`: what must stay together does, and what runs side by side keeps out of each other's way.

A file of tests is one group, a notebook is one, each lab's submissions are one. Tests that run a lesson's notebook by themselves share
the group of that lesson: two runs of one lesson at one time would take each other's containers. Each process is a worker of the learner
(DOCKERLAB_WORKER): what one cleans up is not the other's, and `dockerlab clean` takes what all of them left. And where a test takes the
engine into a swarm and out again, no container may look for a neighbour by name meanwhile: when an engine leaves a swarm, containers that
run lose the names of their neighbours.

What takes longest begins first, so that no process is left with it at the end; and what installs much, which keeps the cores busy, runs
beside what mostly waits for a swarm.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# These run the notebooks of the first lessons.
RUN_LESSONS = ("test_trust_notebooks.py", "test_trust_labs.py")
FIRST_LESSONS = ("00_", "01_")
# Lesson and lab 11 use a swarm; the others have containers that find each other by name.
SWARM_OR_NEIGHBOURS = ("08", "10", "11", "12")
NEIGHBOUR_TESTS = (
    "test_compose.py",
    "test_instruments.py",
    "test_project.py",
    "test_swarm.py",
    "test_rollout.py",
    "test_scoring.py",
    "test_clinic.py",
    "test_widgets.py",
)
# Most of the others take a minute or two.
LONGEST_FIRST = ("swarm and neighbours", "notebooks/06_", "lab 04", "lab 06", "lab 05", "lab 03")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(group(item.nodeid)))  # stable: all else stays as it is


def rank(name: str) -> int:
    """The place of a group in the order in which groups are handed out."""
    return next(
        (place for place, start in enumerate(LONGEST_FIRST) if name.startswith(start)), len(LONGEST_FIRST)
    )


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        os.environ["DOCKERLAB_WORKER"] = config.workerinput["workerid"]


class Lanes(LoadScopeScheduling):
    """Hands out whole groups. xdist's own `loadgroup` writes the group into a test's id, which pytest 9.2 no longer lets it do."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    config.option.loadscopereorder = False  # xdist would begin with the group of the most tests
    return Lanes(config, log)


def group(nodeid: str) -> str:
    """What runs in one process, one after the other."""
    place, _, test = nodeid.partition("::")
    path = PurePosixPath(place)
    lesson = path.name if path.parent.name == "notebooks" else path.parent.name
    if path.name == "test_labs.py" and "[" in test:
        number = test.partition("[")[2][:2]
        return "swarm and neighbours" if number in SWARM_OR_NEIGHBOURS else f"lab {number}"
    if path.name in NEIGHBOUR_TESTS or (path.suffix == ".ipynb" and lesson.startswith(SWARM_OR_NEIGHBOURS)):
        return "swarm and neighbours"
    if path.name in RUN_LESSONS or (path.suffix == ".ipynb" and path.name.startswith(FIRST_LESSONS)):
        return "first lessons"
    return place
