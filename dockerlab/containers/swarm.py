"""A swarm of one node, borrowed for a lesson or a lab: begun only where there is none, bound to this machine, left again at the end.

Its manager listens on the loopback address only. Its overlay networks do not: the engine opens UDP port 4789 (VXLAN, unencrypted) on all
addresses for as long as there are containers in them, which only a firewall can prevent. Lesson and lab 11 say so before they begin one.

A machine that belongs to a swarm already is not touched. A swarm of the course says so in its labels, which the process that borrows it names
too; one that a killed process left is left first. There is one borrower to an engine at a time, whoever it is: a volume of a fixed name is
the lock, since the engine makes it once, and hands the same one to everybody else. It is there before the swarm is, so that a swarm that was
begun on the command line and not claimed yet is known by it. When an engine leaves a swarm, containers that run lose the names of their
neighbours until they are started again: where containers of somebody else have neighbours, no swarm is begun.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.models.services import Service

from dockerlab.core import polling
from dockerlab.core.errors import CourseError
from dockerlab.engine import object_labels, ownership, process_marks

ADDRESS, LISTEN = "127.0.0.1", "127.0.0.1:2377"
GATEWAY = "docker_gwbridge"  # the engine makes it for a swarm and does not take it away
GATEWAY_LABEL = "dockerlab.gateway"
MARK = "# on the swarm"
LOCK = "dockerlab-swarm"
LOCK_SECONDS = 240
TASK = "com.docker.swarm.task"
FOREIGN = "This machine belongs to a swarm that the course did not make"
ADVICE = "Stop those containers or `docker swarm leave --force` where that swarm is a leftover of yours, or use another engine, and try again."


class SwarmTaken(CourseError):
    """This machine belongs to a swarm that the course did not make, or another borrower does not give it back."""


def state(info: Mapping[str, Any], lock: Mapping[str, Any] | None = None) -> str:
    """From GET /info and the lock's GET /volumes/dockerlab-swarm: "none", "ours" (one node, made by the course) or "foreign". Pure.

    One without labels is the course's where it listens on the loopback address only and was begun after the lock was taken.
    """
    swarm = info.get("Swarm") or {}
    if swarm.get("LocalNodeState", "inactive") in ("", "inactive"):
        return "none"
    cluster = swarm.get("Cluster") or {}
    labelled = _marks(info).get(object_labels.COURSE_LABEL) == "1"
    unclaimed = (
        bool(lock)
        and swarm.get("NodeAddr") == ADDRESS
        and _moment(cluster.get("CreatedAt", "")) >= _moment((lock or {})["CreatedAt"])
    )
    return (
        "ours"
        if swarm.get("ControlAvailable") and swarm.get("Nodes") == 1 and (labelled or unclaimed)
        else "foreign"
    )


def _moment(stamp: str) -> dt.datetime:
    """The engine writes nanoseconds, which Python cannot hold, and volumes have seconds only."""
    whole = re.sub(r"\.\d+", "", stamp).replace("Z", "+00:00")
    return dt.datetime.fromisoformat(whole) if whole else dt.datetime.min.replace(tzinfo=dt.UTC)


def _marks(info: Mapping[str, Any]) -> Mapping[str, str]:
    return (((info.get("Swarm") or {}).get("Cluster") or {}).get("Spec") or {}).get("Labels") or {}


def _lock(client: docker.DockerClient) -> Mapping[str, Any] | None:
    """The lock as the engine describes it; None where nobody holds it. Asks the engine."""
    try:
        found = client.api.inspect_volume(LOCK)
    except NotFound:
        return None
    return found if (found.get("Labels") or {}).get(object_labels.OBJECT_LABEL) else None


def _state(client: docker.DockerClient) -> str:
    return state(client.info(), _lock(client))


def refusal(client: docker.DockerClient) -> str:
    """Why no swarm may be begun here and left again, as the beginning of a sentence; "" where it may. Asks the engine."""
    found = _state(client)
    if found == "foreign":
        return FOREIGN
    if found == "ours" and (theirs := [each.name for each in client.services.list() if not _is_ours(each)]):
        return f"Somebody else's services run in the swarm that the course made: {', '.join(sorted(theirs))}"
    for network in client.networks.list(filters={"type": "custom", "driver": "bridge"}):
        theirs = [
            each.name
            for each in client.containers.list(filters={"network": network.id}, ignore_removed=True)
            if not ownership.made_by_the_course(client, each) and TASK not in each.labels
        ]
        if len(theirs) > 1:
            return f"Leaving a swarm would take the names of their neighbours from {', '.join(sorted(theirs))} in your network {network.name}"
    return ""


def _is_ours(service: Service) -> bool:
    name: str = service.name
    return name.startswith(object_labels.NAME_PREFIX)


class OneNode:
    """The swarm while it is borrowed. Where there must be none, `usable` is false, `why` says the reason, and nothing is done."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client, self.usable, self.why = client, False, ""
        self._key = ""  # the mark of the lock while it is ours
        self._had_gateway = True

    def borrow(self, seconds: float = LOCK_SECONDS) -> OneNode:
        """Take the lock, and leave a swarm of the course that a killed run left behind. Asks the engine.

        Waits for another borrower of this learner, and raises SwarmTaken where that takes longer than `seconds`; another learner may be long.
        """
        self.why = self._take_the_lock(seconds)
        self.why = self.why or refusal(self.client) or self._user()
        if self.why:
            self._unlock()
            return self
        found, self.usable = _state(self.client), True
        if found == "ours":
            self._leave()
        atexit.register(self.give_back)
        return self

    def _user(self) -> str:
        """Who uses a swarm of the course whose lock is gone; "" for nobody. Asks the engine."""
        marks = _marks(self.client.info())
        process = marks.get(object_labels.PROCESS_LABEL, "")
        used = process and process != process_marks.mark() and process_marks.alive(process)
        return _in_use(marks) if used else ""

    def claim(self, said: Sequence[str] = ()) -> None:
        """Mark the swarm that has just begun as the course's, so that a later run may leave it; `said` is what its command printed. Asks the engine.

        Raises SwarmTaken where none has begun.
        """
        if _state(self.client) == "none":
            raise _not_begun(" ".join(" ".join(said).split()))
        self._label(object_labels.labels(kind="swarm"))

    def _label(self, marks: Mapping[str, str]) -> None:
        def labelled() -> bool:
            self.client.swarm.reload()
            try:
                self.client.api.update_swarm(
                    self.client.swarm.version, self.client.swarm.attrs["Spec"] | {"Labels": dict(marks)}
                )
            except APIError as error:
                if "out of sequence" not in str(error):  # one that has just begun changes by itself
                    raise
                return False
            return True

        polling.wait_until(labelled, 10, 0.1)

    def begin(self) -> None:
        """`docker swarm init` on the loopback address, marked as the course's. Asks the engine. Raises SwarmTaken where it may not."""
        if not self.usable:
            raise SwarmTaken(f"{self.why}.", "It is not touched.", ADVICE)
        try:
            self.client.swarm.init(
                advertise_addr=ADDRESS, listen_addr=LISTEN, labels=object_labels.labels(kind="swarm")
            )
        except APIError as error:
            raise _not_begun(str(error.explanation)) from error

    def give_back(self) -> str:
        """Leave the swarm, if it is the course's, and return the state that the machine is in. Asks the engine."""
        atexit.unregister(self.give_back)
        try:
            if self.usable and _state(self.client) == "ours":
                self._leave()
            elif self.usable and _state(self.client) == "none":
                self._tidy()
            self.usable = False
            return _state(self.client)
        finally:
            self._unlock()

    def _leave(self) -> None:
        """Remove our services first: then their containers end, and the networks of the swarm with them. Somebody else's keep the swarm."""
        services = self.client.services.list()
        for service in filter(_is_ours, services):
            with contextlib.suppress(NotFound):
                service.remove()
        polling.wait_until(lambda: not self._tasks(), 15, 0.1)
        if all(map(_is_ours, services)):
            if (
                not self._had_gateway
            ):  # it comes a moment after the swarm; left before that, the engine would make it for nobody
                polling.wait_until(lambda: _has_gateway(self.client), 5, 0.1)
            self.client.swarm.leave(force=True)
            self._tidy()

    def _tasks(self) -> list[Container]:
        """The containers of our services. Asks the engine."""
        found = self.client.containers.list(all=True, filters={"label": TASK}, ignore_removed=True)
        return [
            each
            for each in found
            if each.labels.get("com.docker.swarm.service.name", "").startswith(object_labels.NAME_PREFIX)
        ]

    def _tidy(self) -> None:
        """What leaving does not take away: the containers of our tasks, and the gateway where there was none before."""
        for task in self._tasks():
            with contextlib.suppress(APIError):
                task.remove(force=True, v=True)
        if not self._had_gateway:
            polling.wait_until(self._gateway_removed, 5, 0.2)

    def _gateway_removed(self) -> bool:
        """Whether the gateway is gone; the engine refuses for as long as an endpoint of the swarm is still leaving it."""
        with contextlib.suppress(APIError):
            self.client.networks.get(GATEWAY).remove()
        return not _has_gateway(self.client)

    def _take_the_lock(self, seconds: float) -> str:
        """Take the lock; returns who else holds it, as the beginning of a sentence, "" where it is ours now. Asks the engine."""
        deadline, had = time.monotonic() + seconds, None
        while True:
            # Whether the gateway was there outlives us in the label, for whoever has to tidy up after us.
            before, info = _lock(self.client), self.client.info()
            if (
                state(info, before) == "foreign"
            ):  # asked before the lock is there, whose time has whole seconds only
                return FOREIGN
            if before:
                had = GATEWAY_LABEL in before["Labels"]
            elif had is None:  # else a lock that we have just removed said it
                had = state(info) == "none" and _has_gateway(self.client)
            labels = object_labels.labels(kind="swarm") | ({GATEWAY_LABEL: "1"} if had else {})
            held = self.client.volumes.create(LOCK, labels=labels).attrs.get("Labels") or {}
            if held.get(object_labels.OBJECT_LABEL) == labels[object_labels.OBJECT_LABEL]:
                self._key, self._had_gateway = held[object_labels.OBJECT_LABEL], had
                return ""
            if object_labels.OBJECT_LABEL not in held:
                return f"A volume {LOCK} that the course did not make is where the course marks its swarm"
            if not process_marks.alive(held.get(object_labels.PROCESS_LABEL, "")):
                if (
                    before and state(info, before) == "ours" and not _marks(info)
                ):  # killed before it could claim it
                    self._label(held)
                self._unlock(held[object_labels.OBJECT_LABEL])
                time.sleep(
                    random.uniform(0, 0.2)
                )  # two that found it at one time do not take it from each other
            elif held.get(object_labels.OWNER_LABEL) != object_labels.owner():
                return _in_use(held)
            elif time.monotonic() > deadline:
                raise SwarmTaken(
                    "Another lesson or check uses the swarm of this machine.",
                    "It has not given it back yet.",
                    "Wait for it, or shut down the kernel of lesson 11, and try again.",
                )
            else:
                time.sleep(0.2)

    def _unlock(self, key: str = "") -> None:
        """Remove the lock, if it is the one with this mark, by default our own."""
        key, self._key = key or self._key, "" if not key else self._key
        with contextlib.suppress(DockerException):
            found = _lock(self.client) if key else None
            if found and found["Labels"][object_labels.OBJECT_LABEL] == key:
                self.client.api.remove_volume(LOCK)


def _in_use(marks: Mapping[str, str]) -> str:
    return f"The swarm of this engine is in use by {marks.get(object_labels.OWNER_LABEL, 'somebody')}, and an engine can be in one only"


def _not_begun(said: str) -> SwarmTaken:
    if "address already in use" in said:
        return SwarmTaken(
            "The swarm did not begin.",
            f"Another program listens at {LISTEN}, where a swarm has to.",
            "Stop that program (`ss -ltnp 'sport = :2377'` names it), and try again.",
        )
    return SwarmTaken(
        "The swarm did not begin.",
        f"The engine said: {said.rstrip('.')}." if said else "",
        "Mend what it names, and try again.",
    )


@contextlib.contextmanager
def one_node(client: docker.DockerClient) -> Iterator[OneNode]:
    """A swarm of one node for as long as the block lasts. Asks the engine. Raises SwarmTaken."""
    node = OneNode(client).borrow()
    try:
        node.begin()
        yield node
    finally:
        node.give_back()


def left_behind(client: docker.DockerClient) -> bool:
    """Whether a swarm of this learner is here whose process has died. Asks the engine."""
    return _state(client) == "ours" and not process_marks.alive(
        _own_marks(client).get(object_labels.PROCESS_LABEL, "")
    )


def _own_marks(client: docker.DockerClient) -> Mapping[str, str]:
    """The labels of a swarm or, before it is claimed, of the lock, where they are this learner's; else none. Asks the engine."""
    marks = _marks(client.info()) or (_lock(client) or {}).get("Labels") or {}
    return marks if ownership.marked(marks) else {}


def sweep(client: docker.DockerClient) -> bool:
    """Leave a swarm of this learner that a killed process left behind; returns whether it was left. Asks the engine."""
    return left_behind(client) and leave(client)


def leave(client: docker.DockerClient) -> bool:
    """Leave a swarm of this learner, unless a process uses it; returns whether it was left. Asks the engine."""
    if _state(client) != "ours" or not _own_marks(client):
        return False
    try:
        return OneNode(client).borrow(seconds=0).give_back() == "none"
    except SwarmTaken:
        return False


def in_use(client: docker.DockerClient) -> bool:
    """Whether a process that lives holds the lock. Asks the engine."""
    lock = _lock(client)
    return lock is not None and process_marks.alive(lock["Labels"].get(object_labels.PROCESS_LABEL, ""))


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
    ready = Counter(
        task["Spec"]["ContainerSpec"]["Image"]
        for task in tasks
        if task["Status"]["State"] == "running" and task["DesiredState"] in ("running", "ready")
    )
    return Replicas(ready, status.get("State", ""), status.get("Message", ""))


def settled(
    service: str,
    client: docker.DockerClient,
    patience: float = 60,
    watch: Callable[[Replicas], object] = lambda _: None,
) -> Replicas:
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

    polling.wait_until(over, patience, 0.15)
    return replicas(service, client)


def _has_gateway(client: docker.DockerClient) -> bool:
    return any(network.name == GATEWAY for network in client.networks.list(names=[GATEWAY]))
