"""Programs that the course's environment brings."""

from __future__ import annotations

import os
import shutil
import sysconfig

from dockerlab.core.errors import CourseError


class ProgramMissing(CourseError):
    """A program that the environment should bring is not there."""


def search_path() -> str:
    """PATH, with the programs of the course's environment first, from wherever this process was started."""
    scripts, path = sysconfig.get_path("scripts"), os.environ.get("PATH", "")
    return path if scripts in path.split(os.pathsep) else os.pathsep.join([scripts, path]).rstrip(os.pathsep)


def tool(name: str) -> str:
    """The path of a program that came with the course's environment, whether or not that is on PATH. Raises ProgramMissing."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise ProgramMissing(
            f"{name} is not installed.", "The environment is older than the course.", "Run `make setup`."
        )
    return found
