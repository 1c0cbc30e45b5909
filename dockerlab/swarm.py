"""A swarm of one node, borrowed for a lesson or a lab: begun only where there is none, bound to this machine, left again at the end.

A machine that belongs to a swarm already is not touched. A swarm that an earlier run of the course left behind carries the course's
label and is left first. One borrower at a time: the others wait for a lock file. When an engine leaves a swarm, containers that run lose
the names of their neighbours until they are started again: where containers of somebody else have neighbours, no swarm is begun.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import APIError, DockerException, NotFound

from dockerlab import container, engine
from dockerlab.errors import CourseError

ADDRESS, LISTEN = "127.0.0.1", "127.0.0.1:2377"
GATEWAY = "docker_gwbridge"  # the engine makes it for a swarm and does not take it away
MARK = "# on the swarm"
LOCK = Path(tempfile.gettempdir()) / "dockerlab-swarm.lock"
LOCK_SECONDS = 240
ADVICE = "Stop those containers, or use an engine that is in no swarm, and try again."


class SwarmTaken(CourseError):
    """This machine belongs to a swarm that the course did not make, or another borrower does not give it back."""


def state(info: Mapping[str, Any]) -> str:
    """From GET /info: "none", "ours" (one node, made by the course) or "foreign"."""
    swarm = info.get("Swarm") or {}
    if swarm.get("LocalNodeState", "inactive") in ("", "inactive"):
        return "none"
    marks = ((swarm.get("Cluster") or {}).get("Spec") or {}).get("Labels") or {}
    return "ours" if swarm.get("ControlAvailable") and swarm.get("Nodes") == 1 and marks.get(engine.COURSE_LABEL) == "1" else "foreign"


def refusal(client: docker.DockerClient) -> str:
    """Why no swarm may be begun here and left again, as the beginning of a sentence; "" where it may. Asks the engine."""
    from dockerlab import clean  # it needs this module

    if state(client.info()) == "foreign":
        return "This machine belongs to a swarm that the course did not make"
    for network in client.networks.list(filters={"type": "custom", "driver": "bridge"}):
        theirs = [each.name for each in client.containers.list(filters={"network": network.id}, ignore_removed=True)
                  if not clean.is_ours(each.labels, [each.name], each.labels.get(engine.OWNER_LABEL, ""))]  # of whichever learner
        if len(theirs) > 1:
            return f"Leaving a swarm would take the names of their neighbours from {', '.join(sorted(theirs))} in your network {network.name}"
    return ""


class OneNode:
    """The swarm while it is borrowed. Where there must be none, `usable` is false, `why` says the reason, and nothing is done."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client, self.usable, self.why = client, False, ""
        self._lock: IO[str] | None = None
        self._had_gateway = True

    def borrow(self, seconds: float = LOCK_SECONDS) -> OneNode:
        """Take the lock, and leave a swarm of the course that a killed run left behind. Asks the engine. Raises SwarmTaken for the lock."""
        self._lock = _locked(LOCK, seconds)
        self.why = refusal(self.client)
        if self.why:
            self._unlock()
            return self
        found, self.usable = state(self.client.info()), True
        self._had_gateway = found == "none" and _has_gateway(self.client)
        if found == "ours":
            self._leave()
            self._had_gateway = False
        atexit.register(self.give_back)
        return self

    def claim(self) -> None:
        """Mark the swarm that has just begun as the course's, so that a later run may leave it. Asks the engine."""
        self.client.swarm.reload()
        spec = self.client.swarm.attrs["Spec"]
        self.client.api.update_swarm(self.client.swarm.version, spec | {"Labels": engine.labels(kind="swarm")})

    def begin(self) -> None:
        """`docker swarm init` on the loopback address, marked as the course's. Asks the engine. Raises SwarmTaken where it may not."""
        if not self.usable:
            raise SwarmTaken(f"{self.why}.", "It is not touched.", ADVICE)
        self.client.swarm.init(advertise_addr=ADDRESS, listen_addr=LISTEN, labels=engine.labels(kind="swarm"))

    def give_back(self) -> str:
        """Leave the swarm, if it is the course's, and return the state that the machine is in. Asks the engine."""
        atexit.unregister(self.give_back)
        try:
            if self.usable and (found := state(self.client.info())) != "foreign":
                self._leave() if found == "ours" else self._tidy()
            self.usable = False
            return state(self.client.info())
        finally:
            self._unlock()

    def _leave(self) -> None:
        """Remove the services first: then their containers end, and the networks of the swarm with them."""
        with contextlib.suppress(DockerException):
            for service in self.client.services.list():
                service.remove()
            container.wait_until(lambda: not self.client.containers.list(filters={"label": "com.docker.swarm.task"}), 15, 0.1)
        self.client.swarm.leave(force=True)
        self._tidy()

    def _tidy(self) -> None:
        """What leaving does not take away: containers of tasks, and the gateway where there was none before."""
        for task in self.client.containers.list(all=True, filters={"label": "com.docker.swarm.task"}, ignore_removed=True):
            with contextlib.suppress(APIError):
                task.remove(force=True, v=True)
        if not self._had_gateway:
            with contextlib.suppress(NotFound, APIError):
                self.client.networks.get(GATEWAY).remove()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()


@contextlib.contextmanager
def one_node(client: docker.DockerClient) -> Iterator[OneNode]:
    """A swarm of one node for as long as the block lasts. Asks the engine. Raises SwarmTaken."""
    node = OneNode(client).borrow()
    try:
        node.begin()
        yield node
    finally:
        node.give_back()


def sweep(client: docker.DockerClient) -> bool:
    """Leave a swarm of this learner that a killed run left behind, unless somebody uses it; returns whether it was left. Asks the engine."""
    info = client.info()
    if state(info) != "ours" or info["Swarm"]["Cluster"]["Spec"]["Labels"].get(engine.OWNER_LABEL) != engine.owner():
        return False
    try:
        OneNode(client).borrow(seconds=0).give_back()
    except SwarmTaken:
        return False
    return True


def skip_cells(shell: Any, why: str) -> None:
    """From now on a notebook does not run cells that begin with `# on the swarm`, and says why instead."""

    def skipped(lines: list[str]) -> list[str]:
        first = next((line for line in lines if line.strip()), "")
        return [f"print({f'Skipped. {why}.'!r})\n"] if first.startswith(MARK) else lines

    shell.input_transformers_cleanup.append(skipped)


@dataclass(frozen=True)
class Replicas:
    """The replicas of a service at one moment: how many are ready, by image, and the state of its last update ("" for none)."""

    ready: Mapping[str, int]
    update: str
    message: str = ""

    @property
    def count(self) -> int:
        """Ready replicas of whatever image."""
        return sum(self.ready.values())


def replicas(service: str, client: docker.DockerClient) -> Replicas:
    """What runs of a service now. With a health check a replica counts as ready when it is healthy. Asks the engine."""
    status = client.services.get(service).attrs.get("UpdateStatus") or {}
    tasks = client.api.tasks(filters={"service": service})
    ready = Counter(task["Spec"]["ContainerSpec"]["Image"] for task in tasks
                    if task["Status"]["State"] == "running" and task["DesiredState"] in ("running", "ready"))
    return Replicas(ready, status.get("State", ""), status.get("Message", ""))


def settled(service: str, client: docker.DockerClient, patience: float = 60, watch: Callable[[Replicas], object] = lambda _: None) -> Replicas:
    """Wait until the update of a service, or the rollback of it, is over; `watch` sees every look on the way. Asks the engine.

    Returns what runs then, after `patience` seconds at the latest. A rollback is over when all replicas have one image again: for some
    seconds more the engine only watches them.
    """
    wanted = client.services.get(service).attrs["Spec"]["Mode"].get("Replicated", {}).get("Replicas", 1)

    def over() -> bool:
        now = replicas(service, client)
        watch(now)
        if now.update == "rollback_started":
            return len(now.ready) == 1 and now.count >= wanted
        return now.update not in ("", "updating")

    container.wait_until(over, patience, 0.15)
    return replicas(service, client)


def _has_gateway(client: docker.DockerClient) -> bool:
    return any(network.name == GATEWAY for network in client.networks.list(names=[GATEWAY]))


def _locked(path: Path, seconds: float) -> IO[str]:
    """The lock file, locked; the lock ends with the process at the latest. Raises SwarmTaken when it stays locked."""
    file = path.open("a+", encoding="utf-8")
    with contextlib.suppress(OSError):
        path.chmod(0o666)
    if os.name != "posix":
        return file
    import fcntl

    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError as error:
            if time.monotonic() > deadline:
                file.close()
                raise SwarmTaken("Another lesson or check uses the swarm of this machine.", "It has not given it back yet.",
                                 "Wait for it, or shut down the kernel of lesson 11, and try again.") from error
            time.sleep(0.2)
