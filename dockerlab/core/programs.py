"""Programs that the course's environment brings."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from dockerlab.core.errors import CourseError


class ProgramMissing(CourseError):
    """A program that the environment should bring is not there."""


def tool(name: str) -> str:
    """The path of a program that came with the course's environment, whether or not that is on PATH. Raises ProgramMissing."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise ProgramMissing(
            f"{name} is not installed.", "The environment is older than the course.", "Run `make setup`."
        )
    return found
