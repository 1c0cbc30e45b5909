"""Run a compose project for as long as a `with` block lasts: up, wait until healthy, always down.

Talks to `docker compose` (the compose plugin), since the Engine API knows no projects. Every object that compose makes carries
the course's labels, through an override file that is derived from `docker compose config`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dockerlab.core.errors import CourseError
from dockerlab.engine import endpoint, object_labels, process_marks
from dockerlab.engine.command import docker

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

    def compose(
        self, *arguments: str, timeout: float = 300, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose -p PROJECT -f … ARGUMENTS`, captured. Raises StackFailed for an exit code other than 0 unless `check` is false."""
        command = ["compose", "--ansi", "never", "--progress", "quiet", "-p", self.project]
        command += [part for file in self.files for part in ("-f", file)] + [
            part for name in self.profiles for part in ("--profile", name)
        ]
        environment = self.environment or os.environ
        done = docker(
            *command, *arguments, timeout=timeout, cwd=self.folder, env=environment, raises=StackFailed
        )
        if check and done.returncode:
            raise StackFailed(
                f"`docker compose {' '.join(arguments[:2])}` failed.",
                _reason(done.stderr),
                "Mend what it names and run it again.",
            )
        return done

    def config(self) -> dict[str, Any]:
        """The project as compose understands it: variables filled in, files merged, short forms written out."""
        config: dict[str, Any] = json.loads(self.compose("config", "--format", "json").stdout)
        return config

    def services(self) -> list[Service]:
        """Every container of the project, ended ones too, sorted by service."""
        return listed(self.compose("ps", "--all", "--format", "json").stdout)

    def frame(self) -> pd.DataFrame:
        """One row a container: service, state, health."""
        return pd.DataFrame(
            [(each.service, each.state, each.health) for each in self.services()],
            columns=["service", "state", "health"],
        )

    def url(self, service: str, port: int, index: int = 1) -> str:
        """http://HOST:PORT under which a service's port is published on this machine. Raises StackFailed where it is not."""
        done = self.compose("port", "--index", str(index), service, str(port), check=False)
        address = done.stdout.strip().splitlines()
        if done.returncode or not address or address[0].endswith(":0"):
            raise StackFailed(
                f"{service} does not publish port {port}.",
                _reason(done.stderr),
                f"Give it `ports:` in {self.files[0]}.",
            )
        return f"http://{address[0].replace('0.0.0.0', '127.0.0.1')}"

    def logs(self, service: str, lines: int = 10) -> str:
        """The last lines of one service."""
        return self.compose(
            "logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service, check=False
        ).stdout.strip()

    def execute(self, service: str, *command: str) -> str:
        """What a command prints that runs in a service's container."""
        return self.compose("exec", "-T", service, *command).stdout

    def up(self, *arguments: str, timeout: float = 180, wait: bool = True) -> None:
        """Start everything and, unless told otherwise, wait until each service runs, and is healthy where it has a check.

        Raises StackFailed that names the first service that does not get there, with its last lines.
        """
        waiting = ["--wait", "--wait-timeout", f"{timeout:.0f}"] if wait else []
        done = self.compose(
            "up", "--detach", *waiting, "--quiet-pull", *arguments, timeout=timeout + 600, check=False
        )
        if done.returncode:
            raise self._failure(done.stderr)

    def down(self, volumes: bool = False) -> None:
        """Stop and remove containers and networks; with `volumes` the named volumes too."""
        self.compose(
            "down", "--remove-orphans", "--timeout", str(STOP_SECONDS), *(["--volumes"] if volumes else [])
        )

    def reaches(self, service: str, host: str, port: int, timeout: float = 2) -> bool:
        """Whether a container of `service` can open a connection to host:port within `timeout` seconds. Its image needs bash."""
        knock = ["timeout", f"{timeout:g}", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"]
        return self.compose("exec", "-T", service, *knock, check=False).returncode == 0

    def has_way_out(self, service: str) -> bool:
        """Whether a container of `service` has a route that leads out of its networks."""
        routes = [line.split() for line in self.execute(service, "cat", "/proc/net/route").splitlines()[1:]]
        return any(len(route) > 2 and route[1] == "00000000" for route in routes)

    def reachability(self, addresses: Mapping[str, int]) -> pd.DataFrame:
        """Who can reach whom, tried from inside every service of `addresses` (service: port): a row each, and a last column `outside`."""
        with ThreadPoolExecutor(4) as pool:
            rows = {
                name: [pool.submit(self.reaches, name, other, port) for other, port in addresses.items()]
                for name in addresses
            }
            outside = {name: pool.submit(self.has_way_out, name) for name in addresses}
        table = {
            name: [each.result() for each in row] + [outside[name].result()] for name, row in rows.items()
        }
        return pd.DataFrame.from_dict(table, orient="index", columns=[*addresses, "outside"])

    def _failure(self, stderr: str) -> StackFailed:
        bad = [
            each
            for each in self.services()
            if each.state in ("exited", "dead", "restarting") and each.exit_code or each.health == "unhealthy"
        ]
        if not bad:
            return StackFailed(
                "The stack did not start.", _reason(stderr), "Mend what it names and run it again."
            )
        first = bad[0]
        what = "is unhealthy" if first.health == "unhealthy" else f"ended with exit code {first.exit_code}"
        log = self.logs(first.service, 3)
        return StackFailed(
            f"The service {first.service} {what}.",
            f"Its last lines: {log}" if log else "It wrote nothing.",
            f"Look at `docker compose logs {first.service}` and its health check.",
        )

    def __repr__(self) -> str:
        return f"Stack({self.project})"


def listed(text: str) -> list[Service]:
    """The containers that `docker compose ps --format json` lists, sorted: one array up to Compose 2.20, a line each from 2.21 on. Pure."""
    rows = [row for line in text.splitlines() if line.strip() for row in _rows(json.loads(line))]
    return sorted(
        (
            Service(
                row.get("Service") or "",
                row.get("Name") or "",
                row.get("State") or "",
                row.get("Health") or "",
                row.get("ExitCode") or 0,
            )
            for row in rows
        ),
        key=lambda each: (each.service, each.container),
    )


def _rows(document: Any) -> list[dict[str, Any]]:
    return document if isinstance(document, list) else [document] if document else []


@contextlib.contextmanager
def running_stack(
    folder: Path | str,
    *,
    files: Sequence[str] = ("compose.yaml",),
    project: str | None = None,
    environment: Mapping[str, str] | None = None,
    profiles: Sequence[str] = (),
    arguments: Sequence[str] = (),
    timeout: float = 180,
    keep_volumes: bool = False,
) -> Iterator[Stack]:
    """Bring a compose project up, wait until it is healthy, and take it down at the end, whatever happened.

    `environment` is added to this process's own, `arguments` go to `docker compose up` (`"--build"`, a service's name); `timeout` is in
    seconds. Named volumes are removed too unless `keep_volumes`. Raises StackFailed that names the failing service and its last lines.
    """
    project = project or f"{object_labels.NAME_PREFIX}{uuid.uuid4().hex[:8]}"
    with process_marks.folder("stack") as scratch:
        stack = Stack(
            Path(folder).resolve(),
            project,
            tuple(files),
            endpoint.environment() | dict(environment or {}),
            tuple(profiles),
        )
        override = Path(scratch) / "labels.json"  # JSON is YAML
        override.write_text(
            json.dumps(with_labels(stack.config(), object_labels.labels(kind="stack"))), encoding="utf-8"
        )
        stack.files = (*stack.files, str(override))
        try:
            stack.up(*arguments, timeout=timeout)
            yield stack
        finally:
            stack.down(volumes=not keep_volumes)
            stack.files = tuple(files)  # the override is about to go


def with_labels(config: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """An override file that puts `labels` on every service, image, network and volume of a project that is not external."""
    services: dict[str, Any] = {}
    for name, service in (config.get("services") or {}).items():
        built = (service or {}).get(
            "image"
        ) or f"{config.get('name', '')}-{name}"  # as compose names what it builds
        marks = object_labels.for_image(labels) | {
            object_labels.KIND_LABEL: "image",
            object_labels.TAG_LABEL: object_labels.full_tag(built),
        }
        if (
            object_labels.WORKER_LABEL in labels
        ):  # nobody notes what compose builds, so that a worker of the tests must know it by this
            marks[object_labels.WORKER_LABEL] = labels[object_labels.WORKER_LABEL]
        services[name] = {"labels": dict(labels)} | (
            {"build": {"labels": marks}} if "build" in (service or {}) else {}
        )
    override: dict[str, Any] = {"services": services}
    for kind in ("networks", "volumes"):
        own = {
            name: {"labels": dict(labels)}
            for name, each in (config.get(kind) or {}).items()
            if not (each or {}).get("external")
        }
        if own:
            override[kind] = own
    return override


def bounded(
    override: dict[str, Any], config: Mapping[str, Any], processes: int = 512, memory: str = "1g"
) -> dict[str, Any]:
    """An override file that also bounds the log, processes and memory of every service which sets nothing of the kind itself. Pure."""
    for name, service in config.get("services", {}).items():
        own, limits = override["services"][name], limits_of(service)
        if "logging" not in service:
            own["logging"] = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "1"}}
        for key, limit, value in (("pids_limit", "pids", processes), ("mem_limit", "memory", memory)):
            if key in service or limit in limits:
                continue
            if limits:  # compose takes both only where they are the same
                own.setdefault("deploy", {}).setdefault("resources", {}).setdefault("limits", {})[limit] = (
                    value
                )
            else:
                own[key] = value
    return override


def bounds_memory(service: Mapping[str, Any]) -> bool:
    """Whether a service of `docker compose config` sets a memory limit itself. Pure."""
    return "mem_limit" in service or "memory" in limits_of(service)


def limits_of(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands under `deploy: resources: limits:` of a service, nothing where any of these is missing or empty. Pure."""
    return ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}


def _reason(stderr: str) -> str:
    """The last line that compose wrote about it, without its level."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and "level=warning" not in line]
    return f"Compose says: {lines[-1].rstrip('.')}." if lines else ""
