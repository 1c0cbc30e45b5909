"""Run a compose project for as long as a `with` block lasts: up, wait until healthy, always down.

Talks to `docker compose` (the compose plugin), since the Engine API knows no projects. Every object that compose makes carries
the course's labels, through an override file that is derived from `docker compose config`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dockerlab import engine
from dockerlab.errors import CourseError

STOP_SECONDS = 5


class StackFailed(CourseError):
    """The project cannot be read, a service did not start, or one did not become healthy."""


@dataclass(frozen=True)
class Service:
    """One container of a service, as `docker compose ps` reports it; `health` is "" where there is no health check."""

    service: str
    container: str
    state: str
    health: str
    exit_code: int


@dataclass(repr=False)
class Stack:
    """A compose project. Its methods run `docker compose` with the project's files; all of them talk to the engine."""

    folder: Path
    project: str
    files: tuple[str, ...]
    environment: Mapping[str, str]
    profiles: tuple[str, ...] = ()

    def compose(self, *arguments: str, timeout: float = 300, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose -p PROJECT -f … ARGUMENTS`, captured. Raises StackFailed for an exit code other than 0 unless `check` is false."""
        command = ["docker", "compose", "--ansi", "never", "--progress", "quiet", "-p", self.project]
        command += [part for file in self.files for part in ("-f", file)] + [part for name in self.profiles for part in ("--profile", name)]
        try:
            done = subprocess.run([*command, *arguments], cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  timeout=timeout, env=dict(self.environment) or None, check=False)
        except FileNotFoundError as error:
            raise StackFailed("There is no `docker` command on this machine.", fix="Run `make engine`, then `dockerlab doctor`.") from error
        except subprocess.TimeoutExpired as error:
            raise StackFailed(f"`docker compose {arguments[0]}` took longer than {timeout:.0f} s.", fix="Look at `docker compose ps` and its logs.") from error
        if check and done.returncode:
            raise StackFailed(f"`docker compose {' '.join(arguments[:2])}` failed.", _reason(done.stderr), "Mend what it names and run it again.")
        return done

    def config(self) -> dict[str, Any]:
        """The project as compose understands it: variables filled in, files merged, short forms written out."""
        return json.loads(self.compose("config", "--format", "json").stdout)

    def services(self) -> list[Service]:
        """Every container of the project, ended ones too, sorted by service."""
        lines = self.compose("ps", "--all", "--format", "json").stdout.splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        return sorted((Service(row["Service"], row["Name"], row["State"], row.get("Health", ""), row.get("ExitCode", 0)) for row in rows),
                      key=lambda each: (each.service, each.container))

    def frame(self) -> pd.DataFrame:
        """One row a container: service, state, health."""
        return pd.DataFrame([(each.service, each.state, each.health) for each in self.services()], columns=["service", "state", "health"])

    def url(self, service: str, port: int, index: int = 1) -> str:
        """http://HOST:PORT under which a service's port is published on this machine. Raises StackFailed where it is not."""
        done = self.compose("port", "--index", str(index), service, str(port), check=False)
        address = done.stdout.strip().splitlines()
        if done.returncode or not address or address[0].endswith(":0"):
            raise StackFailed(f"{service} does not publish port {port}.", _reason(done.stderr), f"Give it `ports:` in {self.files[0]}.")
        return f"http://{address[0].replace('0.0.0.0', '127.0.0.1')}"

    def logs(self, service: str, lines: int = 10) -> str:
        """The last lines of one service."""
        return self.compose("logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service, check=False).stdout.strip()

    def execute(self, service: str, *command: str) -> str:
        """What a command prints that runs in a service's container."""
        return self.compose("exec", "-T", service, *command).stdout

    def up(self, *arguments: str, timeout: float = 180) -> None:
        """Start everything and wait until each service runs, and is healthy where it has a check.

        Raises StackFailed that names the first service that does not get there, with its last lines.
        """
        done = self.compose("up", "--detach", "--wait", "--wait-timeout", f"{timeout:.0f}", "--quiet-pull", *arguments,
                            timeout=timeout + 600, check=False)
        if done.returncode:
            raise self._failure(done.stderr)

    def down(self, volumes: bool = False) -> None:
        """Stop and remove containers and networks; with `volumes` the named volumes too."""
        self.compose("down", "--remove-orphans", "--timeout", str(STOP_SECONDS), *(["--volumes"] if volumes else []))

    def _failure(self, stderr: str) -> StackFailed:
        bad = [each for each in self.services() if each.state in ("exited", "dead", "restarting") and each.exit_code or each.health == "unhealthy"]
        if not bad:
            return StackFailed("The stack did not start.", _reason(stderr), "Mend what it names and run it again.")
        first = bad[0]
        what = "is unhealthy" if first.health == "unhealthy" else f"ended with exit code {first.exit_code}"
        log = self.logs(first.service, 3)
        return StackFailed(f"The service {first.service} {what}.", f"Its last lines: {log}" if log else "It wrote nothing.",
                           f"Look at `docker compose logs {first.service}` and its health check.")

    def __repr__(self) -> str:
        return f"Stack({self.project})"


@contextlib.contextmanager
def running_stack(folder: Path | str, *, files: Sequence[str] = ("compose.yaml",), project: str | None = None,
                  environment: Mapping[str, str] | None = None, profiles: Sequence[str] = (), arguments: Sequence[str] = (),
                  timeout: float = 180, keep_volumes: bool = False) -> Iterator[Stack]:
    """Bring a compose project up, wait until it is healthy, and take it down at the end, whatever happened.

    `environment` is added to this process's own, `arguments` go to `docker compose up` (`"--build"`, a service's name); `timeout` is in
    seconds. Named volumes are removed too unless `keep_volumes`. Raises StackFailed that names the failing service and its last lines.
    """
    project = project or f"{engine.NAME_PREFIX}{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="dockerlab-stack-") as scratch:
        stack = Stack(Path(folder).resolve(), project, tuple(files), os.environ | dict(environment or {}), tuple(profiles))
        override = Path(scratch) / "labels.json"  # JSON is YAML
        override.write_text(json.dumps(labelled(stack.config(), engine.labels(kind="stack"))), encoding="utf-8")
        stack.files = (*stack.files, str(override))
        try:
            stack.up(*arguments, timeout=timeout)
            yield stack
        finally:
            stack.down(volumes=not keep_volumes)
            stack.files = tuple(files)  # the override is about to go


def labelled(config: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """An override file that puts `labels` on every service, image, network and volume of a project that is not external."""
    services: dict[str, Any] = {}
    for name, service in config.get("services", {}).items():
        services[name] = {"labels": dict(labels)} | ({"build": {"labels": dict(labels)}} if "build" in service else {})
    override: dict[str, Any] = {"services": services}
    for kind in ("networks", "volumes"):
        own = {name: {"labels": dict(labels)} for name, each in (config.get(kind) or {}).items() if not (each or {}).get("external")}
        if own:
            override[kind] = own
    return override


@dataclass(frozen=True)
class Graph:
    """A project as a graph: what there is, and which service asks for what."""

    services: dict[str, str]
    networks: dict[str, tuple[str, ...]]
    volumes: dict[str, tuple[str, ...]]
    ports: dict[str, tuple[str, ...]]
    depends: dict[str, tuple[str, ...]]


def graph(config: Mapping[str, Any]) -> Graph:
    """Read a graph off the output of `docker compose config --format json`. Pure.

    `services` maps a name to its image or "built here"; `networks` a network to its services; `volumes` a service to `source → target`;
    `ports` a service to `host → container`; `depends` a service to those that it waits for.
    """
    services = config.get("services", {})
    networks: dict[str, list[str]] = {}
    for name, service in services.items():
        for network in service.get("networks") or {}:
            networks.setdefault(network, []).append(name)
    return Graph(
        services={name: service.get("image") or "built here" for name, service in services.items()},
        networks={name: tuple(sorted(members)) for name, members in sorted(networks.items())},
        volumes={name: tuple(f"{each.get('source', 'anonymous')} → {each['target']}" for each in service["volumes"])
                 for name, service in services.items() if service.get("volumes")},
        ports={name: tuple(f"{each.get('published') or 'any'} → {each['target']}" for each in service["ports"])
               for name, service in services.items() if service.get("ports")},
        depends={name: tuple(sorted(service["depends_on"])) for name, service in services.items() if service.get("depends_on")},
    )


def _reason(stderr: str) -> str:
    """The last line that compose wrote about it, without its level."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and 'level=warning' not in line]
    return f"Compose says: {lines[-1].rstrip('.')}." if lines else ""
