"""The reader's Docker Engine: reach it, say what it is, and mark what the course makes on it."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker.errors import DockerException

from dockerlab.core.errors import CourseError, redact
from dockerlab.engine import error_messages, process_marks
from dockerlab.engine.endpoint import (
    Endpoint,
    EngineUnavailable,
    RemoteEngine,
    address_of,
    client_of,
    endpoints,
    environment,
    hand_on_proxies,
    is_local,
    proxies,
)

__all__ = [
    "COURSE_LABEL", "KIND_LABEL", "LASTING_KINDS", "NAME_PREFIX", "OWNER_LABEL", "PROCESS_LABEL", "Builder", "Endpoint", "EngineFacts", "EngineUnavailable",
    "RemoteEngine", "address_of", "builder_in_use", "command_reaches", "connect", "endpoints", "environment", "facts", "image_store", "is_local", "labels",
    "owner", "parse_builder", "plugin_version", "proxies",
]  # fmt: skip

COURSE_LABEL = "dockerlab.course"
OWNER_LABEL = "dockerlab.owner"
KIND_LABEL = "dockerlab.kind"
PROCESS_LABEL = process_marks.LABEL
OBJECT_LABEL = "dockerlab.object"  # on containers, networks and volumes, never on an image: what is inherited does not carry it
TAG_LABEL = "dockerlab.tag"  # on images: the tag that the course built this very image as
WORKER_LABEL = "dockerlab.worker"
OBJECT_LABELS = (OBJECT_LABEL, PROCESS_LABEL, WORKER_LABEL)
IMAGE_KINDS = ("image", "base")
# What is made to be used after the process that made it has ended.
LASTING_KINDS = (*IMAGE_KINDS, "index")
TEMPORARY_KINDS = ("check", "doctor", "test")  # of images that nobody needs but the process that built them
NAME_PREFIX = "dockerlab-"


def owner() -> str:
    """The learner's name as it stands in labels: DOCKERLAB_OWNER, else the login name, made safe for names."""
    return _safe(os.environ.get("DOCKERLAB_OWNER") or getpass.getuser())


def shares_a_login() -> bool:
    """Whether the learner has another name than the login, whose folders others use too then."""
    return owner() != _safe(getpass.getuser())


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.") or "learner"


def worker() -> str:
    """Which of several processes of this learner this is, such as `gw1` of a run of the tests (DOCKERLAB_WORKER); "" where there is one."""
    return os.environ.get("DOCKERLAB_WORKER", "")


def labels(**extra: str) -> dict[str, str]:
    """The labels of a container, network, volume or service that the course makes; with the kind of an image, those of an image.

    `dockerlab.object` is random and says that the thing itself was made by the course: a container inherits the labels of its image, so
    that all others prove nothing. What is not of a lasting kind also names this process: when that has died, a notebook's killed kernel for
    instance, the next `clean.sweep` removes what it left. What shall outlive its notebook says `labels(process="")`: only a clean-up removes it.
    """
    if extra.get("kind") in IMAGE_KINDS:
        return image_labels(**extra)
    own = {OBJECT_LABEL: uuid.uuid4().hex} | ({WORKER_LABEL: worker()} if worker() else {})
    process = {} if extra.get("kind") in LASTING_KINDS else {PROCESS_LABEL: process_marks.mark()}
    return image_labels(**{"kind": "lesson"} | extra) | own | process | {key: value for key, value in _named(extra).items() if key in OBJECT_LABELS}


def image_labels(tag: str = "", **extra: str) -> dict[str, str]:
    """The labels of an image that the course builds as `tag`. They are inherited by whatever is made from it, so they name no process."""
    marks = {COURSE_LABEL: "1", OWNER_LABEL: owner(), KIND_LABEL: "image"} | _named(extra) | ({TAG_LABEL: full_tag(tag)} if tag else {})
    return for_image(marks)


def for_image(marks: Mapping[str, str]) -> dict[str, str]:
    """The labels of `marks` that may stand on an image."""
    return {key: value for key, value in marks.items() if key not in OBJECT_LABELS}


def full_tag(tag: str) -> str:
    """A tag as the engine lists it: `dockerlab-api` is `dockerlab-api:latest`."""
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"


def options(marks: Mapping[str, str]) -> str:
    """Labels as options of the `docker` command."""
    return " ".join(f"--label {key}={value}" for key, value in marks.items())


def mine(*more: str) -> dict[str, list[str]]:
    """The filter of the engine's lists for what carries this learner's labels, and `more` (`key=value`); inherited ones count there."""
    own = owned_images()["label"] + ([f"{WORKER_LABEL}={worker()}"] if worker() else [])
    return {"label": [*own, *more]}


def owned_images() -> dict[str, list[str]]:
    """The filter of the engine's lists for images that carry this learner's labels; they carry none of a worker. Inherited ones count."""
    return {"label": [f"{COURSE_LABEL}=1", f"{OWNER_LABEL}={owner()}"]}


def _named(extra: Mapping[str, str]) -> dict[str, str]:
    return {f"dockerlab.{key}": value for key, value in extra.items()}


REMOTE = "DOCKERLAB_REMOTE"  # set where the course may use an engine that is not on this machine

_HARM = "The course builds, starts, stops and removes things on the engine that it uses"


def connect(timeout: float = 120) -> docker.DockerClient:
    """Connect to the engine that the `docker` command line would use, else to the first socket that answers.

    Looks at DOCKER_HOST, the current docker context, the default socket, then the sockets of other products (`endpoint.endpoints`).
    `timeout` is in seconds, per request. Removes nothing: that is `clean.sweep`. Makes a notebook show docker-py's errors without their
    stack, and its cells use this learner's names (`naming`); hands this process's proxies on to the `docker` commands that it starts. Raises
    EngineUnavailable where none answers, RemoteEngine where the one that is chosen is on another machine and nobody allowed that.
    """
    from dockerlab.engine import naming, ownership  # they need this module

    error_messages.speak_plainly()
    failures: list[tuple[Endpoint, Exception]] = []
    for place in endpoints():
        allow(place)
        try:
            client = client_of(place, timeout)
        except CourseError:
            raise
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            failures.append((place, error))
        else:
            hand_on_proxies(place.url)
            mine = ownership.Client(client.api)
            naming.follow(mine)
            return mine
    raise _unavailable(failures)


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
    local = "`docker context use default`, and unset DOCKER_CONTEXT" if place.context else f"unset {place.name}"
    raise RemoteEngine(what, f"{_HARM}, so it does not take another machine's unasked.",
                       f"Choose an engine of this machine ({local}) or, if you mean that one, add --remote to the command or set {REMOTE}=1.")


def _unavailable(failures: list[tuple[Endpoint, Exception]]) -> EngineUnavailable:
    """The one sentence that helps, from what was tried."""
    if not failures:
        return EngineUnavailable(
            "No Docker Engine answers.",
            "No engine's socket was found on this machine.",
            "Run `make engine`, then `dockerlab doctor`.",
        )
    endpoint, error = next(((place, problem) for place, problem in failures if "Permission" in str(problem)), failures[0])
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
    if not shutil.which("docker"):
        return None
    try:
        done = subprocess.run(
            ["docker", plugin, "version"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL  # speaks to no engine
        )
    except (OSError, subprocess.SubprocessError):
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
        done = subprocess.run(["docker", "buildx", "inspect"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Builder("", "", redact(str(error)))
    return parse_builder(done.stdout, done.stderr)


def parse_builder(output: str, errors: str = "") -> Builder:
    """What `docker buildx inspect` printed; the first line of a name counts, since each node has a name of its own. Pure."""
    said: dict[str, str] = {}
    for line in output.splitlines():
        name, _, value = line.partition(":")
        said.setdefault(name.strip(), value.strip())
    problem = said.get("Error", "") or ("" if said.get("Driver") else " ".join(errors.split()).removeprefix("ERROR: ") or "it says nothing")
    return Builder(said.get("Name", ""), said.get("Driver", ""), problem)


def command_reaches() -> tuple[str, str]:
    """The id of the engine that the `docker` command reaches and, where that is none, what it says instead."""
    try:
        command = ["docker", "info", "--format", "{{.ID}}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)
    return done.stdout.strip(), " ".join(done.stderr.split())


def engine_socket() -> str:
    """The path of the engine's socket as containers can mount it. Docker Desktop, in its virtual machine, knows the usual place only."""
    found = endpoints()
    url = found[0].url if found and found[0].name != "Docker Desktop" else ""
    return url.removeprefix("unix://") if url.startswith("unix://") else "/var/run/docker.sock"
