"""The reader's Docker Engine: reach it, say what it is, and mark and remove what the course made on it."""

from __future__ import annotations

import getpass
import os
import re

import docker
from docker.errors import DockerException

from dockerlab.errors import CourseError

COURSE_LABEL = "dockerlab.course"
OWNER_LABEL = "dockerlab.owner"
NAME_PREFIX = "dockerlab-"


class EngineUnavailable(CourseError):
    """No Docker Engine answers."""


def owner() -> str:
    """The learner's name as it stands in labels: DOCKERLAB_OWNER, else the login name, made safe for names."""
    name = os.environ.get("DOCKERLAB_OWNER") or getpass.getuser()
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.") or "learner"


def labels(**extra: str) -> dict[str, str]:
    """The labels of everything that the course makes: `dockerlab.course=1` and the learner's name."""
    return {COURSE_LABEL: "1", OWNER_LABEL: owner(), **{f"dockerlab.{key}": value for key, value in extra.items()}}


def connect(timeout: float = 120) -> docker.DockerClient:
    """Connect to the engine that the `docker` command line would use.

    `timeout` is in seconds, per request. Raises EngineUnavailable where none answers.
    """
    try:
        client = docker.from_env(timeout=timeout)
        client.ping()
    except DockerException as error:
        raise EngineUnavailable(
            "No Docker Engine answers.", f"The attempt ended with: {error}.", "Run `make engine`, then `dockerlab doctor`."
        ) from error
    return client
