"""A pytest plugin: what the course did not make is still on the engine when the run ends, lessons and labs included.

Before the first test it notes every container, image, volume and network that the course did not make, and adds some of its own: plain ones,
and such as inherited labels of the course, because somebody built FROM its images, ran them by hand or committed a container. What is inherited
proves nothing. The guard knows that by a rule of its own, which is short on purpose. The last test of the run looks whether all of them are
still there, and whether containers of the course left volumes that nobody can name any more.
tests/conftest.py registers it; a run of notebooks alone takes it with `-p tests.plugins.foreign`. In a run by several processes
(`-n`) the one that hands out the tests does this, before the first and after the last of them all. What a run that was killed left goes with
the next run, or with `make clean`, which runs this file.

Names that begin with `foreign-` belong to a run of these tests, this one or another on the same engine, and may come and go.
"""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import requests
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.images import Image

from dockerlab.core.errors import CourseError
from dockerlab.course import cleanup
from dockerlab.course.grading.volumes import NamelessVolumes
from dockerlab.engine import connection, object_labels, ownership, process_marks
from dockerlab.images import base_images
from dockerlab.images.build_cache import cache_records

MARK = "foreign.canary"
OBJECT, TAG = (
    "dockerlab.object",
    "dockerlab.tag",
)  # the course's mark of what it made, and its word on what an image was built as
PREFIX = "foreign-"
TEST = "foreign things are untouched"
PREDEFINED = (
    "bridge",
    "host",
    "none",
    "ingress",
    "docker_gwbridge",
)  # the last two are the engine's own while it is in a swarm
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
        return [
            f"These were there before the tests, were not made by the course, and are gone: {', '.join(gone)}."
        ] * bool(gone) + [f"Containers of the course left these behind: {', '.join(left)}."] * bool(left)


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
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
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
        client = connection.connect()
    except CourseError:
        return False  # the fixture `client` says it, or fails the run
    sweep(client)
    before = {(kind, key, name) for kind, key, name, ours in everything(client) if not ours}
    config.stash[GUARD] = Guard(
        client, before, set(make_canaries(client)), NamelessVolumes(client, object_labels.COURSE_LABEL, "1")
    )
    return True


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _hands_out(config: pytest.Config) -> bool:
    """Whether this process only distributes the tests to others."""
    return (
        not _is_worker(config)
        and bool(getattr(config.option, "numprocesses", None))
        and not config.option.collectonly
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Also after Ctrl-C or `-x`, when the last test never ran and the kernel of a notebook was killed with its containers running."""
    if _is_worker(session.config):
        with suppress(CourseError):
            cleanup.sweep(connection.connect())
        return
    guard = session.config.stash.get(GUARD, None)
    if guard is None:
        return
    cleanup.sweep(guard.client)
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
    report = pytest.TestReport(
        f"{Path(__file__).name}::{TEST}",
        (__file__, 0, TEST),
        keywords={},
        when="call",
        outcome="failed" if complaints else "passed",
        longrepr=" ".join(complaints) or None,
    )
    session.config.hook.pytest_runtest_logreport(report=report)
    if complaints:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _uses_the_engine(item: pytest.Item) -> bool:
    return (
        item.get_closest_marker("engine") is not None
        or "client" in getattr(item, "fixturenames", ())
        or item.path.suffix == ".ipynb"
    )


def everything(client: docker.DockerClient) -> Iterator[tuple[str, str, str, bool]]:
    """Kind, id, name, and whether it is the course's or comes and goes by itself. Asks the engine."""
    mounted: set[str] = set()
    built = ownership.read(
        client
    ).ids  # where a tag has moved on, only the record tells what we built from what was built FROM it
    for container in client.containers.list(all=True, ignore_removed=True):
        ours = _made(container.labels, _labels(client, container.attrs["Image"]), container.name) or bool(
            container.attrs["HostConfig"].get("AutoRemove")
        )
        mounted |= {mount.get("Name", "") for mount in container.attrs["Mounts"]} if ours else set()
        yield "container", container.id, container.name, ours
    for image in _images(client, {}):
        of_a_run = any(tag.startswith(PREFIX) for tag in image.tags)
        ours = (
            of_a_run
            or (image.labels[TAG] in image.tags if TAG in image.labels else _named(*image.tags))
            or (not image.tags and image.id in built)
        )
        yield "image", image.id, (image.tags or [image.short_id])[0], ours
        yield from (("tag", tag, tag, ours or _named(tag)) for tag in image.tags)
    for volume in client.volumes.list():
        yield (
            "volume",
            volume.name,
            volume.name,
            _made(volume.attrs.get("Labels"), None, volume.name) or volume.name in mounted,
        )
    for network in client.networks.list():
        yield (
            "network",
            network.id,
            network.name,
            network.name in PREDEFINED or _made(network.attrs.get("Labels"), None, network.name),
        )
    yield from (
        ("build step", record["ID"], record.get("Description", ""), True) for record in cache_records(client)
    )


def _images(client: docker.DockerClient, filters: dict[str, str]) -> Iterator[Image]:
    """The images that match, without those that somebody removes meanwhile, over which `client.images.list` stumbles. Asks the engine."""
    for entry in client.api.images(filters=dict(filters)):
        with suppress(ImageNotFound):
            yield client.images.get(entry["Id"])


def _labels(client: docker.DockerClient, image: str) -> dict[str, str]:
    with suppress(NotFound):
        return client.api.inspect_image(image)["Config"].get("Labels") or {}
    return {}


def _made(labels: dict[str, str] | None, inherited: dict[str, str] | None, name: str) -> bool:
    """The course's own, and what these tests make as somebody else's. A mark that the image has too is inherited, and proves nothing."""
    mark = (labels or {}).get(OBJECT)
    return _named(name) or (bool(mark) and mark != (inherited or {}).get(OBJECT))


def _named(*names: str) -> bool:
    return any(name.startswith((object_labels.NAME_PREFIX, PREFIX)) for name in names)


def make_canaries(client: docker.DockerClient) -> Iterator[Thing]:
    """Things that somebody else made on this engine, plain ones, and such as inherited the course's labels in each way there is. Asks the engine."""
    name, marks = f"{PREFIX}{uuid.uuid4().hex[:8]}", {MARK: process_marks.mark()}
    yield _image(client, name, marks)
    yield "container", client.containers.create(f"{name}:1", ["/nothing"], name=name, labels=marks).id, name
    yield "volume", client.volumes.create(name, labels=marks).name, name
    yield "network", client.networks.create(name, labels=marks).id, name
    for (
        image,
        labels,
    ) in _inherited().items():  # built FROM an image of the course, and a container of it by hand
        yield _image(client, f"{name}-{image}", marks | labels)
        yield from _by_hand(client, f"{name}-{image}", f"{name}-{image}:1")
    yield _untagged(client, f"{name}-untagged", marks | _inherited()["api"])
    yield from _committed(client, f"{name}-committed", marks)
    yield from _of_another_learner(client, f"{name}-neighbour", marks)
    task = {
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.name": f"{name}.1",
        "com.docker.swarm.service.name": name,
        "com.docker.swarm.node.id": name,
    }
    yield (
        "container",
        client.containers.create(f"{name}:1", ["/nothing"], name=f"{name}-task", labels=marks | task).id,
        f"{name}-task",
    )
    yield from _built(client, f"{name}-built", marks)
    if base_images.present(client, base_images.SLIM):
        plain = {object_labels.COURSE_LABEL: "", object_labels.OWNER_LABEL: "", object_labels.KIND_LABEL: ""}
        running = client.containers.run(
            base_images.SLIM, ["sleep", "7200"], detach=True, name=f"{name}-runs", labels=marks | plain
        )
        yield "container", running.id, running.name
        yield from _running_by_hand(client, f"{name}-served", marks)


def _inherited() -> dict[str, dict[str, str]]:
    """What images of the course hand on: a base, the detection API, one that a check built, and those of lessons that clean up by a label."""
    course = {
        object_labels.COURSE_LABEL: "1",
        object_labels.OWNER_LABEL: object_labels.owner(),
        object_labels.KIND_LABEL: "image",
        object_labels.PROCESS_LABEL: _dead(),
    }
    lessons = {f"lesson{number}": {"dockerlab.lesson": number} for number in ("01", "02", "08", "12")}
    labs = {
        "dockerlab.clinic": object_labels.owner(),
        "dockerlab.workbench": object_labels.owner(),
        "dockerlab.handover": "1",
        "dockerlab.check": "canary",
    }
    others = {
        "api": {TAG: "dockerlab-api:multistage"},
        "base": {object_labels.KIND_LABEL: "base"},
        "check": {object_labels.KIND_LABEL: "check"} | labs,
    }
    return {key: course | labels for key, labels in (lessons | others).items()}


def _dead() -> str:
    """The mark of a process of this machine that has ended."""
    return f"{process_marks.mark().rsplit('-', 2)[0]}-99999999-1"


def _by_hand(client: docker.DockerClient, name: str, image: str) -> Iterator[Thing]:
    """A container with a volume for its data, as `docker run` without any label leaves it."""
    container = client.containers.create(
        image, ["/nothing"], name=name, mounts=[{"Target": "/data", "Type": "volume"}]
    )
    container.reload()
    yield "container", container.id, name
    yield "volume", container.attrs["Mounts"][0]["Name"], f"{name}'s data"


def _committed(client: docker.DockerClient, name: str, marks: dict[str, str]) -> Iterator[Thing]:
    """`docker commit` of a container of the course writes all its labels into an image, which hands them on."""
    holder = client.containers.create(
        _image(client, f"{name}-from", marks)[1],
        ["/nothing"],
        labels=object_labels.labels(lesson="01"),
        name=f"dockerlab-{name}",
    )
    holder.commit(name, "1", changes=[f"LABEL {object_labels.PROCESS_LABEL}={_dead()}"])
    with suppress(
        DockerException
    ):  # it is the course's, so that a lesson which begins at this moment may remove it
        holder.remove()
    client.images.remove(f"{name}-from:1")
    yield "tag", f"{name}:1", f"{name}:1"
    yield from _by_hand(client, name, f"{name}:1")


def _untagged(client: docker.DockerClient, name: str, marks: dict[str, str]) -> Thing:
    """An image built FROM one of the course that has lost its tag to the next build."""
    image = client.images.get(_image(client, name, marks)[1]).id
    _image(client, name, marks | {"again": "1"})
    client.images.remove(f"{name}:1")
    return "image", image, name


def _of_another_learner(client: docker.DockerClient, name: str, marks: dict[str, str]) -> Iterator[Thing]:
    """What the course made for somebody else who does lesson 01 on this engine, too."""
    labels = (
        marks
        | object_labels.labels(lesson="01")
        | {object_labels.OWNER_LABEL: "foreign-learner", object_labels.PROCESS_LABEL: _dead()}
    )
    yield _image(
        client,
        name,
        {key: value for key, value in labels.items() if key not in (OBJECT, object_labels.PROCESS_LABEL)},
    )
    yield "container", client.containers.create(f"{name}:1", ["/nothing"], name=name, labels=labels).id, name
    yield "volume", client.volumes.create(name, labels=labels).name, name
    yield "network", client.networks.create(name, labels=labels).id, name


def _built(client: docker.DockerClient, name: str, marks: dict[str, str]) -> Iterator[Thing]:
    """A step in the build cache that looks much like one of lab 04, but is not of the course. Builds as anybody does, over the engine's API."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, text in (
            ("Dockerfile", f"FROM scratch\nCOPY requirements-dev.txt /{name}\n"),
            ("requirements-dev.txt", name),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    query = {"version": "2", "t": f"{name}:1", "labels": json.dumps(marks)}
    answer = client.api.post(
        f"{client.api.base_url}/v{client.api.api_version}/build",
        params=query,
        data=buffer.getvalue(),
        headers={"Content-Type": "application/x-tar"},
    )
    answer.raise_for_status()
    yield "tag", f"{name}:1", f"{name}:1"
    yield from (
        ("build step", record["ID"], f"{name}'s")
        for record in cache_records(client)
        if name in record.get("Description", "")
    )


def _running_by_hand(client: docker.DockerClient, name: str, marks: dict[str, str]) -> Iterator[Thing]:
    """A service that somebody built FROM an image of a lesson and runs, with its data in a volume."""
    labels = marks | _inherited()["lesson01"]
    holder = client.containers.create(base_images.SLIM, ["true"], name=f"dockerlab-{name}")
    holder.commit(
        name, "1", changes=[f'LABEL {key}="{value}"' for key, value in labels.items()] + ["VOLUME /data"]
    )
    holder.remove()
    yield "tag", f"{name}:1", f"{name}:1"
    running = client.containers.run(f"{name}:1", ["sleep", "7200"], detach=True, name=name)
    running.reload()
    yield "container", running.id, name
    yield "volume", running.attrs["Mounts"][0]["Name"], f"{name}'s data"


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
    order = ("container", "network", "volume", "tag", "image", "build step")
    actions = {
        "container": lambda key: client.containers.get(key).remove(force=True, v=True),
        "network": lambda key: client.networks.get(key).remove(),
        "volume": lambda key: client.volumes.get(key).remove(),
        "tag": lambda key: client.images.remove(key, force=True),
        "image": lambda key: client.images.remove(key),
        "build step": lambda key: client.api.prune_builds(filters={"id": [f"^{key}$"]}, all=True),
    }
    for kind, key in sorted(things, key=lambda thing: order.index(thing[0])):
        with suppress(DockerException, requests.RequestException):
            actions[kind](key)


def sweep(client: docker.DockerClient) -> None:
    """Remove the canaries of runs that were killed. Asks the engine."""
    found: list[tuple[str, str]] = []
    marked = {"label": MARK}
    with suppress(DockerException):
        for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
            found += [("container", container.id)] if not process_marks.alive(container.labels[MARK]) else []
        for image in _images(client, marked):
            if not process_marks.alive(image.labels[MARK]):
                found += [("tag", tag) for tag in image.tags if tag.startswith(PREFIX)] or [
                    ("image", image.id)
                ] * (not image.tags)
        for network in client.networks.list(filters=marked):
            found += (
                [("network", network.id)] if not process_marks.alive(network.attrs["Labels"][MARK]) else []
            )
        for volume in client.volumes.list(filters=marked):
            found += (
                [("volume", volume.name)] if not process_marks.alive(volume.attrs["Labels"][MARK]) else []
            )
    remove(client, found)


if __name__ == "__main__":
    sweep(connection.connect())
