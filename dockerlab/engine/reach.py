"""The engine that the `docker` command line would use, or the first that answers; one of another machine only when that is meant."""

from __future__ import annotations

import os
import sys

import docker
import requests
from docker.errors import DockerException

from dockerlab.core.errors import CourseError, redact
from dockerlab.engine.endpoint import (
    Endpoint,
    EngineUnavailable,
    RemoteEngine,
    client_of,
    endpoints,
)

REMOTE = "DOCKERLAB_REMOTE"  # set where the course may use an engine that is not on this machine


_HARM = "The course builds, starts, stops and removes things on the engine that it uses"


def allow(place: Endpoint) -> None:
    """Let an engine of this machine pass; one of another machine only after `--remote`, DOCKERLAB_REMOTE=1 or a yes on a terminal.

    The course fills, prunes and stops things on the engine that it uses, and that must not be somebody's production.
    """
    if place.local or os.environ.get(REMOTE, "").lower() not in ("", "0", "false", "no"):
        return
    what = f"The engine that is chosen, {redact(place.url)} ({place.name}), is not on this machine."
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{what}\n{_HARM}. Use this one? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            os.environ[REMOTE] = "1"  # for what this process starts, too
            return
    local = (
        "`docker context use default`, and unset DOCKER_CONTEXT" if place.context else f"unset {place.name}"
    )
    raise RemoteEngine(
        what,
        f"{_HARM}, so it does not take another machine's unasked.",
        f"Choose an engine of this machine ({local}) or, if you mean that one, add --remote to the command or set {REMOTE}=1.",
    )


def _unavailable(failures: list[tuple[Endpoint, Exception]]) -> EngineUnavailable:
    """The one sentence that helps, from what was tried."""
    if not failures:
        return EngineUnavailable(
            "No Docker Engine answers.",
            "No engine's socket was found on this machine.",
            "Run `make engine`, then `dockerlab doctor`.",
        )
    endpoint, error = next(
        ((place, problem) for place, problem in failures if "Permission" in str(problem)), failures[0]
    )
    if "Permission" in str(error):
        return EngineUnavailable(
            "A Docker Engine runs, but you may not use it.",
            f"{endpoint.url} belongs to another group.",
            "Run `sudo usermod -aG docker $USER`, log out and in again, and repeat the command.",
        )
    reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    mend = {"DOCKER_HOST": "Correct or unset DOCKER_HOST."}.get(
        endpoint.name, "Start that engine or run `docker context use default`."
    )
    return EngineUnavailable(
        f"No Docker Engine answers at {endpoint.url} ({endpoint.name}).",
        f"The attempt ended with: {reason}.",
        mend if endpoint.explicit else "Run `make engine`, then `dockerlab doctor`.",
    )


def reach(timeout: float) -> tuple[docker.DockerClient, Endpoint]:
    """A client of the first engine that answers, and where that is. `timeout` is in seconds, per request.

    Looks at DOCKER_HOST, the current docker context, the default socket, then the sockets of other products (`endpoint.endpoints`).
    Raises EngineUnavailable where none answers, RemoteEngine where the one that is chosen is on another machine and nobody allowed that.
    """
    failures: list[tuple[Endpoint, Exception]] = []
    for place in endpoints():
        allow(place)
        try:
            return client_of(place, timeout), place
        except CourseError:
            raise
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            failures.append((place, error))
    raise _unavailable(failures)
