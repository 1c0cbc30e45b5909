"""A pytest plugin for `-n N --dist loadgroup`: what must stay together does, and what runs side by side keeps out of each other's way.

A file of tests is one group, a notebook is one, each lab's submissions are one. Tests that run a lesson's notebook by themselves share
the group of that lesson: two runs of one lesson at one time would take each other's containers. Each process is another learner
(DOCKERLAB_OWNER), so that what one cleans up is not the other's. And where a test takes the engine into a swarm and out again, no container
may look for a neighbour by name meanwhile: when an engine leaves a swarm, containers that run lose the names of their neighbours.
"""

from __future__ import annotations

import os

import pytest

from dockerlab import engine

# These run the notebooks of the first lessons.
RUN_LESSONS = ("test_trust_notebooks.py", "test_trust_labs.py")
FIRST_LESSONS = ("00_", "01_")
# Lesson and lab 11 use a swarm; the others have containers that find each other by name.
SWARM_OR_NEIGHBOURS = ("08", "10", "11", "12")
NEIGHBOUR_TESTS = ("test_stack.py", "test_instruments.py", "test_harbour.py", "test_swarm.py", "test_rollout.py", "test_capstone.py",
                   "test_clinic.py", "test_widgets.py")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        os.environ["DOCKERLAB_OWNER"] = f"{engine.owner()}-{config.workerinput['workerid']}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))


def group(item: pytest.Item) -> str:
    """What runs in one process, one after the other."""
    path, parameters = item.path, getattr(getattr(item, "callspec", None), "params", {})
    if path.name == "test_labs.py" and parameters:
        number = parameters["path"].parent.name if "path" in parameters else parameters["lab"].split("_")[0]
        return "swarm and neighbours" if number in SWARM_OR_NEIGHBOURS else f"lab {number}"
    lesson = path.name if path.parent.name == "notebooks" else path.parent.name
    if path.name in NEIGHBOUR_TESTS or (path.suffix == ".ipynb" and lesson.startswith(SWARM_OR_NEIGHBOURS)):
        return "swarm and neighbours"
    if path.name in RUN_LESSONS or (path.suffix == ".ipynb" and path.name.startswith(FIRST_LESSONS)):
        return "first lessons"
    return f"{path.parent.name}/{path.name}"
