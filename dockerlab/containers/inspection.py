"""A running container as its engine and its kernel know it, whatever its image says of itself.

An interpreter, a `cat` or an `id` in somebody else's image may answer anything. So `docker inspect` is read, and a helper container of
the course's own base shares the container's processes and looks at them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from dockerlab.containers import container
from dockerlab.containers.privileges import Mount, capabilities
from dockerlab.core.errors import CourseError
from dockerlab.engine import object_labels
from dockerlab.images import base_images

LOOK = Path(__file__).with_name("inspection_script.py")
SECONDS = 60
# The helper may do everything in its own namespaces, and no device is opened to it.
HELPER: Mapping[str, Any] = {
    "cap_add": ["ALL"],
    "security_opt": ["apparmor=unconfined", "seccomp=unconfined", "label=disable"],
    "mem_limit": "256m",
    "pids_limit": 64,
    "user": "0",
}


@dataclass(frozen=True)
class Process:
    """One process by its number in the container; `users` are its real, effective, saved and file system user as the container counts them."""

    pid: int
    name: str
    users: tuple[int, ...]
    capabilities: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """Who runs in a container, and attempt -> (it worked, what was seen) where a probe was handed over."""

    processes: tuple[Process, ...]
    attempts: Mapping[str, tuple[bool, str]]

    @property
    def users(self) -> set[int]:
        """Every user that a process has or could take back without asking anybody."""
        return {user for process in self.processes for user in process.users}

    @property
    def first(self) -> Process:
        """Process 1."""
        return min(self.processes, key=lambda process: process.pid)


def look(
    client: docker.DockerClient,
    of: Container,
    probe: str = "",
    program: bytes = b"",
    left_out: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Seen:
    """Look at a running container, for about a second; `probe` is the source of a program that tries what it can from inside. Asks the engine.

    Raises CourseError where the container does not run, or the engine allows no such helper.
    """
    base_images.ensure(base_images.SLIM, client)
    wanted = json.dumps(
        {"probe": probe, "program": base64.b64encode(program).decode(), "left_out": list(left_out)}
    )
    marks = object_labels.labels(kind="helper") | dict(labels or {})
    # What it needs to know comes by a variable: no image and no mount is needed for it.
    command = [
        "python",
        "-I",
        "-c",
        f"import io, os, sys\nsys.stdin = io.StringIO(os.environ.pop('WANTED'))\n{LOOK.read_text(encoding='utf-8')}",
    ]
    helper = None
    try:
        helper = client.containers.create(
            base_images.SLIM,
            command,
            environment={"WANTED": wanted},
            labels=marks,
            pid_mode=f"container:{of.id}",
            network_mode=f"container:{of.id}",
            **HELPER,
        )
        helper.start()
        code = helper.wait(timeout=SECONDS)["StatusCode"]
        said = helper.logs(stdout=True, stderr=bool(code), tail=20).decode(errors="replace").strip()
    except (APIError, DockerException) as error:
        why = getattr(error, "explanation", None) or error
        raise CourseError(
            f"{of.name} could not be looked at from outside.", f"{why}.", "Does it still run? `docker ps -a`."
        ) from error
    finally:
        if helper is not None:
            container.remove(helper)
    if code:
        raise CourseError(
            f"{of.name} could not be looked at from outside.",
            f"{said.splitlines()[-1] if said else f'exit code {code}'}.",
        )
    return read(json.loads(said.splitlines()[-1]))


def read(answer: Mapping[str, Any]) -> Seen:
    """The helper's answer as Seen. Pure."""
    found = tuple(
        Process(each["pid"], each["name"], tuple(each["users"]), capabilities(each["capabilities"]))
        for each in answer["processes"]
    )
    return Seen(found, {key: (bool(worked), str(seen)) for key, (worked, seen) in answer["attempts"].items()})


def mounts(client: docker.DockerClient, attrs: Mapping[str, Any]) -> list[Mount]:
    """What is mounted into a container, from its `docker inspect`; a volume that stands for a folder of the host counts as that. Asks the engine."""
    found = []
    for each in attrs.get("Mounts") or []:
        kind, source = each.get("Type", ""), each.get("Source", "")
        if kind == "volume":
            try:
                options = client.volumes.get(each["Name"]).attrs.get("Options") or {}
            except NotFound:
                options = {}
            if options.get("device") and "bind" in f"{options.get('o', '')},{options.get('type', '')}".split(
                ","
            ):
                kind, source = "bind", options["device"]
        found.append(Mount(kind, source, each.get("Destination", ""), bool(each.get("RW"))))
    return found
