"""The `docker` command, run in one way: for the engine that the course uses, captured as text, with nothing to read and an end."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from dockerlab.core.errors import CourseError
from dockerlab.engine import endpoint


class NoDockerCommand(CourseError):
    """There is no `docker` command, or it did not return."""


def docker(
    *words: str,
    timeout: float = 60,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    raises: type[CourseError] = NoDockerCommand,
) -> subprocess.CompletedProcess[str]:
    """Run `docker WORDS`, whatever its exit code. `env` is its environment, by default one that leads to the course's engine.

    Raises `raises` where there is no such command, and where it takes longer than `timeout` seconds.
    """
    try:
        return subprocess.run(
            ["docker", *words],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            cwd=cwd,
            env=dict(env) if env is not None else endpoint.environment(),
            check=False,
        )
    except OSError as error:
        raise raises(
            "There is no `docker` command on this machine.",
            f"{error.strerror or error}.",
            "Run `make engine`, then `dockerlab doctor`.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise raises(
            f"`docker {' '.join(words[:2])}` took longer than {timeout:.0f} s.",
            fix="Run it by hand and see what it waits for.",
        ) from error
