"""A pytest plugin: what the course did not make is still on the engine when the run ends, lessons and labs included.

Before the first test it notes every container, image, volume and network without the course's label, and adds some of its own,
one of each kind, as a learner may have them. The last test of the run looks whether all of them are still there, and whether containers
of the course left volumes that nobody can name any more.
tests/conftest.py registers it; a run of notebooks alone takes it with `-p foreign` and tests/ on the path. In a run by several processes
(`-n`) the one that hands out the tests does this, before the first and after the last of them all.

Names that begin with `foreign-` belong to a run of these tests, this one or another on the same engine, and may come and go.
"""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import requests
from docker.errors import DockerException, NotFound

from dockerlab import bases, clean, engine, engine_process
from dockerlab.checks.volumes import NamelessVolumes
from dockerlab.errors import CourseError

MARK = "foreign.canary"
PREFIX = "foreign-"
TEST = "foreign things are untouched"
PREDEFINED = ("bridge", "host", "none", "ingress", "docker_gwbridge")  # the last two are the engine's own while it is in a swarm
Thing = tuple[str, str, str]  # kind, id, name


@dataclass
class Guard:
    """What was there when the run began."""

    client: docker.DockerClient
    before: set[Thing]
    canaries: set[Thing]
    volumes: NamelessVolumes
    looked: bool = False

    def missing(self) -> list[str]:
        """Kind and name of what is gone. Asks the engine."""
        self.looked = True
        now = {(kind, key) for kind, key, _, _ in everything(self.client)}
        gone = {(kind, name) for kind, key, name in self.before | self.canaries if (kind, key) not in now}
        return sorted(f"{kind} {name}" for kind, name in gone)

    def left(self) -> list[str]:
        """Volumes without a name that containers of the course made and left. Asks the engine."""
        mounted = set(self.volumes.stop())
        unused = {volume.name for volume in self.client.volumes.list(filters={"dangling": True})}
        return sorted(f"volume {name}" for name in mounted & unused)

    def complaints(self) -> list[str]:
        """What is wrong at the end of a run, a sentence each. Asks the engine."""
        gone, left = self.missing(), self.left()
        return [f"These were there before the tests, carry no label of the course, and are gone: {', '.join(gone)}."] * bool(gone) + [
            f"Containers of the course left these behind: {', '.join(left)}."] * bool(left)


GUARD = pytest.StashKey[Guard]()


class Untouched(pytest.Item):
    """The last test of the run."""

    def runtest(self) -> None:
        complaints = self.config.stash[GUARD].complaints()
        assert not complaints, " ".join(complaints)

    def reportinfo(self) -> tuple[str, int, str]:
        return __file__, 0, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        return str(excinfo.value)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.collectonly or _is_worker(config) or not any(_uses_the_engine(item) for item in items):
        return
    if _look(config):
        items.append(Untouched.from_parent(session, name=TEST))


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if _hands_out(session.config):
        _look(session.config)


def _look(config: pytest.Config) -> bool:
    """Note what is there and add the canaries; False where no engine answers. Asks the engine."""
    try:
        client = engine.connect()
    except CourseError:
        return False  # the fixture `client` says it, or fails the run
    sweep(client)
    before = {(kind, key, name) for kind, key, name, ours in everything(client) if not ours}
    config.stash[GUARD] = Guard(client, before, set(make_canaries(client)), NamelessVolumes(client, engine.COURSE_LABEL, "1"))
    return True


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _hands_out(config: pytest.Config) -> bool:
    """Whether this process only distributes the tests to others."""
    return not _is_worker(config) and bool(getattr(config.option, "numprocesses", None)) and not config.option.collectonly


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Also after Ctrl-C or `-x`, when the last test never ran and the kernel of a notebook was killed with its containers running."""
    if _is_worker(session.config):
        with suppress(CourseError):
            engine_process.sweep(engine.connect())
        return
    guard = session.config.stash.get(GUARD, None)
    if guard is None:
        return
    engine_process.sweep(guard.client)
    if _hands_out(session.config) and session.exitstatus != pytest.ExitCode.INTERRUPTED:
        _report(session, guard)
    with suppress(DockerException, requests.RequestException):
        if not guard.looked and (gone := guard.missing()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            print(f"\nGone, although the course did not make it: {', '.join(gone)}")
    remove(guard.client, [(kind, key) for kind, key, _ in guard.canaries])


def _report(session: pytest.Session, guard: Guard) -> None:
    """The last test of a run by several processes, as if one of them had run it."""
    complaints = guard.complaints()
    report = pytest.TestReport(f"{Path(__file__).name}::{TEST}", (__file__, 0, TEST), keywords={}, when="call",
                               outcome="failed" if complaints else "passed", longrepr=" ".join(complaints) or None)
    session.config.hook.pytest_runtest_logreport(report=report)
    if complaints:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _uses_the_engine(item: pytest.Item) -> bool:
    return item.get_closest_marker("engine") is not None or "client" in getattr(item, "fixturenames", ()) or item.path.suffix == ".ipynb"


def everything(client: docker.DockerClient) -> Iterator[tuple[str, str, str, bool]]:
    """Kind, id, name, and whether it is the course's or comes and goes by itself. Asks the engine."""
    mounted: set[str] = set()
    for container in client.containers.list(all=True, ignore_removed=True):
        ours = _ours(container.labels, container.name) or bool(container.attrs["HostConfig"].get("AutoRemove"))
        mounted |= {mount.get("Name", "") for mount in container.attrs["Mounts"]} if ours else set()
        yield "container", container.id, container.name, ours
    for image in clean.listed(client, {}):
        ours = _ours(image.labels, *image.tags)
        yield "image", image.id, (image.tags or [image.short_id])[0], ours
        yield from (("tag", tag, tag, ours) for tag in image.tags)
    for volume in client.volumes.list():
        yield "volume", volume.name, volume.name, _ours(volume.attrs.get("Labels"), volume.name) or volume.name in mounted
    for network in client.networks.list():
        yield "network", network.id, network.name, network.name in PREDEFINED or _ours(network.attrs.get("Labels"), network.name)


def _ours(labels: dict[str, str] | None, *names: str) -> bool:
    """The course's own, and what these tests make as somebody else's."""
    return (labels or {}).get(engine.COURSE_LABEL) == "1" or any(name.startswith((engine.NAME_PREFIX, PREFIX)) for name in names)


def make_canaries(client: docker.DockerClient) -> Iterator[Thing]:
    """A container, two images, a volume and a network as a learner may have them. Asks the engine."""
    name, marks = f"{PREFIX}{uuid.uuid4().hex[:8]}", {MARK: engine_process.mark()}
    yield _image(client, name, marks)
    # Built by the learner on one of the course's bases, so that it carries the base's labels.
    yield _image(client, f"{name}-on-a-base", marks | {engine.COURSE_LABEL: "1", engine.OWNER_LABEL: engine.owner(), engine.KIND_LABEL: "base"})
    yield "container", client.containers.create(f"{name}:1", ["/nothing"], name=name, labels=marks).id, name
    yield "volume", client.volumes.create(name, labels=marks).name, name
    yield "network", client.networks.create(name, labels=marks).id, name
    if bases.present(client, bases.SLIM):
        plain = {engine.COURSE_LABEL: "", engine.OWNER_LABEL: "", engine.KIND_LABEL: ""}
        running = client.containers.run(bases.SLIM, ["sleep", "7200"], detach=True, name=f"{name}-runs", labels=marks | plain)
        yield "container", running.id, running.name


def _image(client: docker.DockerClient, name: str, marks: dict[str, str]) -> Thing:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("foreign")
        entry.size = len(name)
        tar.addfile(entry, io.BytesIO(name.encode()))
    changes = [f'LABEL {key}="{value}"' for key, value in marks.items()]
    client.api.import_image_from_data(buffer.getvalue(), repository=name, tag="1", changes=changes)
    return "tag", f"{name}:1", f"{name}:1"


def remove(client: docker.DockerClient, things: list[tuple[str, str]]) -> None:
    """Remove canaries, containers first. Asks the engine."""
    order = ("container", "network", "volume", "tag")
    actions = {
        "container": lambda key: client.containers.get(key).remove(force=True, v=True),
        "network": lambda key: client.networks.get(key).remove(),
        "volume": lambda key: client.volumes.get(key).remove(),
        "tag": lambda key: client.images.remove(key, force=True),
    }
    for kind, key in sorted(things, key=lambda thing: order.index(thing[0])):
        with suppress(NotFound, DockerException, requests.RequestException):
            actions[kind](key)


def sweep(client: docker.DockerClient) -> None:
    """Remove the canaries of runs that were killed. Asks the engine."""
    found: list[tuple[str, str]] = []
    marked = {"label": MARK}
    with suppress(DockerException):
        for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
            found += [("container", container.id)] if not engine_process.alive(container.labels[MARK]) else []
        for image in clean.listed(client, marked):
            found += [("tag", tag) for tag in image.tags if tag.startswith(PREFIX) and not engine_process.alive(image.labels[MARK])]
        for network in client.networks.list(filters=marked):
            found += [("network", network.id)] if not engine_process.alive(network.attrs["Labels"][MARK]) else []
        for volume in client.volumes.list(filters=marked):
            found += [("volume", volume.name)] if not engine_process.alive(volume.attrs["Labels"][MARK]) else []
    remove(client, found)
