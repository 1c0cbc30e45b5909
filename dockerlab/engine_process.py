"""Whose process made a thing on the engine, and what it left there if it died: a killed kernel cannot tidy up after itself."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

LABEL = "dockerlab.process"


def mark() -> str:
    """`place-pid-start` of this process; the place is one boot of one machine and, in a container, that container's processes."""
    pid = os.getpid()
    return f"{_place()}-{pid}-{_start(pid)}"


def alive(process: str) -> bool:
    """Whether the process of this mark may still run; what was made at another place, or names no process, is not ours to judge."""
    place, _, rest = process.rpartition("-")[0].rpartition("-")
    if not process or place != _place() or not rest.isdigit():
        return True
    return _start(int(rest)) == process.rpartition("-")[2]


def sweep(client: docker.DockerClient) -> list[str]:
    """Remove this learner's containers, networks and volumes whose process has died; returns their names. Asks the engine.

    Never in the way of what comes next: an error of the engine leaves the rest for `dockerlab clean`.
    """
    from dockerlab import clean, engine  # they need this module

    mine, found, gone = engine.owner(), {"label": [f"{engine.COURSE_LABEL}=1", LABEL]}, []
    with suppress(DockerException, requests.RequestException):
        for container in client.containers.list(all=True, filters=found, ignore_removed=True):
            if clean.is_ours(container.labels, [container.name], mine) and not alive(container.labels[LABEL]):
                gone += _removed(container.name, lambda thing=container: thing.remove(force=True, v=True))
        for thing in (*client.networks.list(filters=found), *client.volumes.list(filters=found)):
            labels = thing.attrs.get("Labels") or {}
            if clean.is_ours(labels, [thing.name], mine) and not alive(labels.get(LABEL, "")):
                gone += _removed(thing.name, thing.remove)
    return gone


def _removed(name: str, remove) -> list[str]:  # noqa: ANN001
    with suppress(DockerException):
        remove()
        return [name]
    return []


@cache
def _place() -> str:
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot.replace('-', '')[:12]}.{Path('/proc/self/ns/pid').stat().st_ino}"
    return platform.node().replace("-", "_") or "here"


def _start(pid: int) -> str:
    """When a process began, as its own system counts; "" where none runs. A number that was used again has another start."""
    if not Path("/proc/self/stat").exists():
        done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "".join(part for part in done.stdout if part.isalnum())
    with suppress(OSError, IndexError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]  # a zombie waits for its parent, but it does nothing any more
    return ""
