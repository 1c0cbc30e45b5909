"""Run an image as a service for as long as a `with` block lasts: start, wait until ready, always remove."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

import docker
import requests
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.utils.socket import frames_iter

from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.core.polling import wait_until
from dockerlab.engine import connection, error_messages, object_labels


class ContainerFailed(CourseError):
    """A container did not start, did not become ready, or ended before it should."""


class NoEnd(ContainerFailed):
    """A program inside a container did not end in time, or wrote more than anybody reads."""


@dataclass
class Running:
    """A container that answers. `start_seconds` is from the request to create it until it was ready."""

    container: Container
    url: str
    start_seconds: float

    def logs(self, lines: int = 10) -> str:
        """The last lines of its output. Asks the engine."""
        output: bytes = self.container.logs(tail=lines)
        return output.decode(errors="replace").strip()

    def __repr__(self) -> str:
        return f"Running({self.container.name})"


@contextmanager
def running(
    image: str,
    *,
    command: list[str] | str | None = None,
    port: int = 8000,
    ready: str | None = "/health",
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
    name: str | None = None,
    client: docker.DockerClient | None = None,
    **options: Any,
) -> Iterator[Running]:
    """Run `image`, publish `port` on a free port of 127.0.0.1, wait until GET `ready` answers 200, remove it at the end.

    `timeout` is in seconds; `ready=None` waits only until the container runs; other keywords go to `containers.run`.
    Raises ContainerFailed with the container's last lines when it ends or stays silent.
    """
    client = client or connection.connect()
    name = name or f"{object_labels.NAME_PREFIX}{uuid.uuid4().hex[:8]}"
    started = time.monotonic()
    try:
        container = client.containers.create(
            image,
            command,
            name=name,
            labels=object_labels.labels(kind="container") | dict(options.pop("labels", {})),
            environment=dict(environment or {}),
            **({"ports": {f"{port}/tcp": ("127.0.0.1", None)}} if port else {}) | options,
        )
    except ImageNotFound as error:
        raise ContainerFailed(
            f"There is no image {image} on the engine.", fix="Build it first, or run `dockerlab bases`."
        ) from error
    except APIError as error:
        raise ContainerFailed(
            f"The engine refused to create the container: {error.explanation}.",
            fix=_advice(str(error.explanation)),
        ) from error
    try:
        try:
            container.start()
        except APIError as error:
            raise ContainerFailed(
                f"The container did not start: {error.explanation}.", fix=_advice(str(error.explanation))
            ) from error
        url = _wait(container, port, ready, started + timeout)
        yield Running(container, url, time.monotonic() - started)
    finally:
        remove(container)


def execute(
    container: Container, command: Sequence[str], seconds: float = 20, limit: int = 1_000_000
) -> tuple[int, bytes]:
    """Run a program in a running container: its exit code and what it wrote, both streams. Asks the engine.

    Raises NoEnd after `seconds` or more than `limit` bytes; the engine knows no way to end such a program, so it runs on until its container
    ends. Raises APIError as `exec_run` does, which has neither bound.
    """
    api, kept = container.client.api, bytearray()
    number = api.exec_create(container.id, list(command))["Id"]
    stream = api.exec_start(number, socket=True)

    def read() -> None:
        for _, piece in frames_iter(stream, tty=False):
            kept.extend(piece)
            if len(kept) > limit:
                return

    reader = Thread(target=read, daemon=True)
    reader.start()
    reader.join(seconds)
    late = reader.is_alive()
    with suppress(OSError, AttributeError):  # not every kind of connection has these
        stream._sock.shutdown(socket.SHUT_RDWR)  # wakes the reader
        reader.join(1)
        stream._response.close()
        stream._sock.close()
    if late or len(kept) > limit:
        why = f"did not end within {seconds:g} s" if late else f"wrote more than {limit / 1e6:g} MB"
        raise NoEnd(
            f"`{' '.join(' '.join(command).split())[:80]}` {why} in the container.",
            fix="Run it there by `docker exec` and see what it does.",
        )
    return api.exec_inspect(number)["ExitCode"], bytes(kept)


def remove(container: Container) -> None:
    """Remove a container and its anonymous volumes; it may be gone already. Asks the engine."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:  # its removal is already under way
            raise


def published(container: Container, port: int) -> str:
    """http://127.0.0.1:N for a published port, or "". Asks the engine."""
    container.reload()
    bindings = container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp") or []
    return f"http://127.0.0.1:{bindings[0]['HostPort']}" if bindings else ""


def address(container: Container) -> str:
    """The address of a started container on its network, as builds and neighbours reach it; "" where it has none. Asks the engine."""
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    return next((network["IPAddress"] for network in networks if network.get("IPAddress")), "")


def _wait(container: Container, port: int, ready: str | None, deadline: float) -> str:
    url = published(container, port) if port else ""
    session, checked = requests.Session(), time.monotonic()

    def answers() -> bool:
        nonlocal checked
        try:
            if ready is None or fetch(url + ready, 2, session=session).status_code == 200:
                return True
        except requests.RequestException:
            pass
        if (
            time.monotonic() - checked > 0.25
        ):  # asking the engine every time would slow the start that is measured
            checked = time.monotonic()
            container.reload()
            if container.status in ("exited", "dead"):
                raise ContainerFailed(
                    f"The container ended with exit code {container.attrs['State']['ExitCode']}.",
                    _last_lines(container),
                    "Mend what its last line names, rebuild, and run it again.",
                )
        return False

    with session:
        ready_in_time = wait_until(answers, deadline - time.monotonic())
    if not ready_in_time:
        raise ContainerFailed(
            f"The container runs but {ready} did not answer 200 in time.",
            _last_lines(container),
            "Check the port and that the server listens on 0.0.0.0.",
        )
    return url


def _last_lines(container: Container) -> str:
    lines = container.logs(tail=3).decode(errors="replace").strip()
    return f"Its last lines: {lines}" if lines else "It wrote nothing."


def _advice(explanation: str) -> str:
    _, fix = error_messages.advice(explanation)
    return fix or "Read the reason above; `docker events` shows what the engine tried."
