"""What the engine says about containers while it happens: events, and waits for a state of health."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker.errors import DockerException
from docker.models.containers import Container

from dockerlab.core.polling import wait_until

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """One state of a container, in seconds since the record began; `state` is starting, healthy, unhealthy, running or ended."""

    state: str
    begin: float
    end: float


@dataclass(frozen=True)
class Probe:
    """One health probe: when it ended, in seconds since the record began, and whether it passed."""

    at: float
    passed: bool


class Recorder:
    """Keeps the engine's events about containers of these names, which need not exist yet, from now until `stop`.

    The engine itself remembers only its last 256 events, so they are kept while they happen.
    """

    def __init__(self, client: docker.DockerClient, names: Sequence[str]) -> None:
        self.events: list[dict[str, Any]] = []
        self.marks: list[tuple[float, str]] = []
        self.began = time.time()
        self._stream = client.events(filters={"type": "container", "container": list(names)}, decode=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def mark(self, text: str) -> None:
        """Note what the reader does at this moment."""
        self.marks.append((time.time(), text))

    def stop(self) -> Recorder:
        """End the record. The events stay."""
        with suppress(DockerException, OSError):
            self._stream.close()
        self._thread.join(3)
        return self

    def of(self, name: str) -> list[dict[str, Any]]:
        """The events of one container."""
        return [each for each in self.events if each["Actor"]["Attributes"].get("name") == name]

    def _read(self) -> None:
        with suppress(
            DockerException, requests.RequestException, OSError, ValueError, AttributeError
        ):  # closed while it waits
            for event in self._stream:
                self.events.append(event)


def seconds(event: Event) -> float:
    """When an event happened, as seconds since 1970."""
    return int(event["timeNano"]) / 1e9


def spans(events: Sequence[Event], until: float | None = None) -> list[Span]:
    """The states that one container went through, from its events, in their order; `until` closes the last one. Pure.

    A container without a health check is `running` from its start to its end.
    """
    if not events:
        return []
    zero, found, checked = (
        seconds(events[0]),
        [],
        any(event["Action"].startswith("health_status") for event in events),
    )
    state, begin = "", 0.0
    for event in events:
        action = event["Action"]
        new = {"start": "starting" if checked else "running", "die": "ended"}.get(action, "")
        if action.startswith("health_status: "):
            new = action.removeprefix("health_status: ")
        if new and new != state:
            at = seconds(event) - zero
            if state:
                found.append(Span(state, begin, at))
            state, begin = new, at
    last = (until or seconds(events[-1])) - zero
    return [*found, Span(state, begin, max(begin, last))] if state else found


def probes(events: Sequence[Event], check: str) -> list[Probe]:
    """The health probes of one container, from its events; `check` is a part of the check's command. Pure."""
    zero = seconds(events[0]) if events else 0.0
    ours = {
        event["Actor"]["Attributes"].get("execID")
        for event in events
        if event["Action"].startswith("exec_create") and check in event["Action"]
    }
    ended = (
        event
        for event in events
        if event["Action"] == "exec_die" and event["Actor"]["Attributes"].get("execID") in ours
    )
    return [
        Probe(seconds(event) - zero, event["Actor"]["Attributes"].get("exitCode") == "0") for event in ended
    ]


def health(container: Container) -> str:
    """starting, healthy or unhealthy; "none" without a check. Asks the engine."""
    container.reload()
    status: str = (container.attrs["State"].get("Health") or {}).get("Status", "none")
    return status


def wait_for_health(container: Container, wanted: str, timeout: float = 60) -> str:
    """Wait until a container's health is `wanted`, at most `timeout` seconds; what it is then. Asks the engine."""
    wait_until(lambda: health(container) == wanted, timeout, interval=0.1)
    return health(container)


def wait_for_starts(container: Container, restarts: int, timeout: float = 60) -> bool:
    """Whether the engine has restarted a container this often within `timeout` seconds. Asks the engine."""

    def often_enough() -> bool:
        container.reload()
        count: int = container.attrs["RestartCount"]
        return count >= restarts

    return wait_until(often_enough, timeout, interval=0.05)
