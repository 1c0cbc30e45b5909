"""The first line of a lesson or lab: this notebook becomes one of the course, and gets a client of the reader's engine."""

from __future__ import annotations

import os

import docker

from dockerlab.core import ipython, markup, programs
from dockerlab.engine import connection, error_messages


def start(timeout: float = 120) -> docker.DockerClient:
    """`prepare`, then connect; `timeout` is in seconds, per request. Raises EngineUnavailable and RemoteEngine."""
    prepare()
    return connection.connect(timeout)


def prepare() -> None:
    """Let this notebook show tables and errors of docker-py as the course does, and find `!dockerlab`. May be called again."""
    shell = ipython.shell()
    if shell is None:
        return
    os.environ["PATH"] = programs.search_path()
    markup.in_notebooks(shell)
    error_messages.in_notebooks(shell)
