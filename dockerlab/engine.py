"""The reader's Docker Engine: reach it, say what it is, and mark what the course makes on it."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException

from dockerlab import engine_errors, engine_process
from dockerlab.errors import CourseError

COURSE_LABEL = "dockerlab.course"
OWNER_LABEL = "dockerlab.owner"
KIND_LABEL = "dockerlab.kind"
PROCESS_LABEL = engine_process.LABEL
# What is made to be used after the process that made it has ended.
LASTING_KINDS = ("image", "base", "index")
NAME_PREFIX = "dockerlab-"
PROBE_SECONDS = 30


class EngineUnavailable(CourseError):
    """No Docker Engine answers."""


def owner() -> str:
    """The learner's name as it stands in labels: DOCKERLAB_OWNER, else the login name, made safe for names."""
    name = os.environ.get("DOCKERLAB_OWNER") or getpass.getuser()
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.") or "learner"


def labels(**extra: str) -> dict[str, str]:
    """The labels of everything that the course makes: `dockerlab.course=1` and the learner's name.

    A kind is always set, because a container inherits that of its image. What is not of a lasting kind also names this process:
    when that has died, a notebook's killed kernel for instance, the next `connect` removes what it left. A container that shall
    outlive its notebook says `labels(process="")`.
    """
    process = {} if extra.get("kind") in LASTING_KINDS else {PROCESS_LABEL: engine_process.mark()}
    return {COURSE_LABEL: "1", OWNER_LABEL: owner(), KIND_LABEL: "lesson", **process, **{f"dockerlab.{key}": value for key, value in extra.items()}}


@dataclass(frozen=True)
class Endpoint:
    """One place where an engine may listen; `explicit` when the reader named it, so that no other is tried."""

    name: str
    url: str
    explicit: bool = False
    tls_folder: Path | None = None


def endpoints(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> list[Endpoint]:
    """Where to look, in the order of the `docker` command line, then where other engines put their sockets.

    Raises EngineUnavailable when the reader's docker context is broken.
    """
    home = home or Path.home()
    if environ.get("DOCKER_HOST"):
        certificates = environ.get("DOCKER_CERT_PATH") if environ.get("DOCKER_TLS_VERIFY") else None
        return [Endpoint("DOCKER_HOST", environ["DOCKER_HOST"], True, Path(certificates) if certificates else None)]
    config = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    context = environ.get("DOCKER_CONTEXT") or _current_context(config)
    if context not in ("", "default"):
        return [_context_endpoint(config, context)]
    runtime = environ.get("XDG_RUNTIME_DIR") or (f"/run/user/{os.getuid()}" if hasattr(os, "getuid") else "")
    sockets = [
        ("Docker", Path("/var/run/docker.sock")),
        ("rootless Docker", Path(runtime) / "docker.sock"),
        ("Colima", home / ".colima/default/docker.sock"),
        ("OrbStack", home / ".orbstack/run/docker.sock"),
        ("Docker Desktop", home / ".docker/run/docker.sock"),
        ("Docker Desktop", home / ".docker/desktop/docker.sock"),
        ("Podman", Path(runtime) / "podman/podman.sock"),
        ("Podman", Path("/run/podman/podman.sock")),
    ]
    found = [Endpoint(name, f"unix://{path}") for name, path in sockets if _is_socket(path)]
    return [*found, Endpoint("Docker Desktop", "npipe:////./pipe/docker_engine")] if os.name == "nt" else found


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        return False


def _current_context(config: Path) -> str:
    try:
        return json.loads((config / "config.json").read_text(encoding="utf-8")).get("currentContext", "")
    except (OSError, ValueError):
        return ""


def _context_endpoint(config: Path, name: str) -> Endpoint:
    """Read one docker context from its metadata, stored under the SHA-256 of its name."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = json.loads((config / "contexts/meta" / digest / "meta.json").read_text(encoding="utf-8"))
        host = meta["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError) as error:
        raise EngineUnavailable(
            f"The docker context {name} is chosen but cannot be read.",
            f"{type(error).__name__}: {error}.",
            "Run `docker context use default`.",
        ) from error
    certificates = config / "contexts/tls" / digest / "docker"
    return Endpoint(f"docker context {name}", host, True, certificates if certificates.is_dir() else None)


def _open(endpoint: Endpoint, timeout: float) -> docker.DockerClient:
    tls: Any = False
    if endpoint.tls_folder:
        ca, certificate, key = (str(endpoint.tls_folder / f"{part}.pem") for part in ("ca", "cert", "key"))
        pair = (certificate, key) if Path(certificate).exists() else None
        tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=ca if Path(ca).exists() else None, verify=True)
    client = docker.DockerClient(
        base_url=endpoint.url, timeout=min(timeout, PROBE_SECONDS), tls=tls, use_ssh_client=endpoint.url.startswith("ssh:")
    )
    try:
        client.ping()
    except BaseException:
        client.close()
        raise
    client.api.timeout = timeout
    return client


def connect(timeout: float = 120) -> docker.DockerClient:
    """Connect to the engine that the `docker` command line would use, else to the first socket that answers.

    Looks at DOCKER_HOST, the current docker context, the default socket, then the sockets of rootless Docker, Colima, OrbStack,
    Docker Desktop and Podman. `timeout` is in seconds, per request. Also removes what a process of this learner left when it was
    killed, and makes a notebook show docker-py's errors without their stack. Raises EngineUnavailable where none answers.
    """
    engine_errors.speak_plainly()
    failures: list[tuple[Endpoint, Exception]] = []
    for endpoint in endpoints():
        try:
            client = _open(endpoint, timeout)
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            failures.append((endpoint, error))
        else:
            engine_process.sweep(client)
            return client
    raise _unavailable(failures)


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
            ["docker", plugin, "version"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
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
        return Builder("", "", str(error))
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
