"""The reader's Docker Engine: connect to it, and say what it is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker

from dockerlab.engine import naming, ownership
from dockerlab.engine.command import NoDockerCommand
from dockerlab.engine.command import docker as docker_command
from dockerlab.engine.endpoint import (
    endpoints,
    hand_on_proxies,
)
from dockerlab.engine.reach import reach


def connect(timeout: float = 120) -> docker.DockerClient:
    """Connect to the engine that `reach` finds. `timeout` is in seconds, per request.

    Removes nothing: that is `cleanup.sweep`. Lets the cells of a notebook use this learner's names (`naming`); hands this process's
    proxies on to the `docker` commands that it starts. Raises EngineUnavailable and RemoteEngine.
    """
    client, place = reach(timeout)
    hand_on_proxies(place.url)
    mine = ownership.Client(client.api)
    naming.follow(mine)
    return mine


@dataclass(frozen=True)
class EngineFacts:
    """What an engine says about itself; `buildx` and `compose` are the plugins of this machine's `docker` command, or None."""

    name: str
    version: str
    api_version: str
    image_store: str
    cgroup_version: str
    operating_system: str
    cpus: int
    memory_bytes: int
    root_dir: str
    buildx: str | None
    compose: str | None
    engine_id: str = ""
    security_options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.name} {self.version} (API {self.api_version}, {self.image_store} image store, {self.operating_system})"


def facts(client: docker.DockerClient) -> EngineFacts:
    """What the engine is, and which plugins the `docker` command has here. Asks the engine."""
    info, version = client.info(), client.version()
    return EngineFacts(
        name=_product(info, version),
        version=version.get("Version", ""),
        api_version=version.get("ApiVersion", ""),
        image_store=image_store(info),
        cgroup_version=str(info.get("CgroupVersion", "")),
        operating_system=info.get("OperatingSystem", ""),
        cpus=info.get("NCPU", 0),
        memory_bytes=info.get("MemTotal", 0),
        root_dir=info.get("DockerRootDir", ""),
        buildx=plugin_version("buildx"),
        compose=plugin_version("compose"),
        engine_id=info.get("ID", ""),
        security_options=tuple(info.get("SecurityOptions") or ()),
    )


def image_store(info: Mapping[str, Any]) -> str:
    """`containerd` where images lie in containerd's store, else the name of the storage driver (`overlay2`), from GET /info."""
    status = dict(pair[:2] for pair in info.get("DriverStatus") or [])
    return "containerd" if "containerd" in status.get("driver-type", "") else info.get("Driver", "")


def _product(info: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    names = [part.get("Name", "") for part in version.get("Components") or []]
    if any("Podman" in name for name in names):
        return "Podman"
    system = info.get("OperatingSystem", "")
    return next((product for product in ("Docker Desktop", "OrbStack") if product in system), "Docker Engine")


def plugin_version(plugin: str) -> str | None:
    """The version of a plugin of the `docker` command (`buildx`, `compose`), or None where it is missing."""
    try:
        done = docker_command(plugin, "version", timeout=20, env=os.environ)  # speaks to no engine
    except NoDockerCommand:
        return None
    found = re.search(r"\bv?(\d+\.\d+\.\d+)", done.stdout)
    return found[1] if done.returncode == 0 and found else None


@dataclass(frozen=True)
class Builder:
    """The builder that `docker buildx build` uses: its driver (`docker` is the engine's own BuildKit), and what keeps it from answering."""

    name: str
    driver: str
    problem: str = ""


def builder_in_use() -> Builder | None:
    """Ask the `docker` command which builder is chosen; None where there is no buildx."""
    if not plugin_version("buildx"):
        return None
    try:
        done = docker_command("buildx", "inspect", timeout=20, env=os.environ)
    except NoDockerCommand as error:
        return Builder("", "", str(error))
    return parse_builder(done.stdout, done.stderr)


def parse_builder(output: str, errors: str = "") -> Builder:
    """What `docker buildx inspect` printed; the first line of a name counts, since each node has a name of its own. Pure."""
    said: dict[str, str] = {}
    for line in output.splitlines():
        name, _, value = line.partition(":")
        said.setdefault(name.strip(), value.strip())
    problem = said.get("Error", "") or (
        "" if said.get("Driver") else " ".join(errors.split()).removeprefix("ERROR: ") or "it says nothing"
    )
    return Builder(said.get("Name", ""), said.get("Driver", ""), problem)


def command_reaches() -> tuple[str, str]:
    """The id of the engine that the `docker` command reaches and, where that is none, what it says instead."""
    try:
        done = docker_command("info", "--format", "{{.ID}}", timeout=20, env=os.environ)
    except NoDockerCommand as error:
        return "", str(error)
    return done.stdout.strip(), " ".join(done.stderr.split())


def engine_socket() -> str:
    """The path of the engine's socket as containers can mount it. Docker Desktop, in its virtual machine, knows the usual place only."""
    found = endpoints()
    url = found[0].url if found and found[0].name != "Docker Desktop" else ""
    return url.removeprefix("unix://") if url.startswith("unix://") else "/var/run/docker.sock"
