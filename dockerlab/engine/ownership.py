"""Whose a thing on the engine is. What is inherited is not owned: a label proves nothing that `docker run` or FROM may have handed on.

A container, network or volume is this learner's when it carries the mark `dockerlab.object`, which no image carries. (`docker commit` writes
the labels of a container into an image: what is made from that carries the very mark of its image, and is not ours.) An image is this
learner's when we noted its id as we built it, or when one of its tags is the one that its own label says it was built as. Of its tags, those
are ours that begin with our prefix or with the address of a registry of ours.

The record is a file of lines for each engine and learner, in the folder of the progress. It is only ever added to, a line at a time, which
the system does whole: any number of processes may write at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.images import Image, ImageCollection
from docker.models.networks import Network
from docker.models.volumes import Volume

from dockerlab.core.settings import state_folder
from dockerlab.engine import naming, object_labels, process_marks

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass
class Record:
    """What this learner's processes noted about one engine: ids of images, tags that were built, and registries of ours."""

    ids: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)  # tag -> mark of the process that built it last
    latest: dict[str, str] = field(
        default_factory=dict
    )  # tag -> id of what was built as that last, where its build came to an end
    kinds: dict[str, str] = field(default_factory=dict)  # tag or id -> kind
    processes: dict[str, str] = field(default_factory=dict)  # id -> mark of the process that built it last
    registries: set[str] = field(default_factory=set)


def record_file(client: docker.DockerClient) -> Path:
    """Where the record of this engine and learner lies. Asks the engine."""
    return state_folder() / "engines" / f"{_engine_id(client)}.{object_labels.owner()}.jsonl"


def read(client: docker.DockerClient) -> Record:
    """The record of this engine and learner; a worker of the tests sees its own lines only. A line that is damaged is left out. Asks the engine."""
    record = Record()
    with suppress(OSError):
        for line in record_file(client).read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, AttributeError):
                _take(record, json.loads(line))
    return record


def _take(record: Record, entry: Mapping[str, str]) -> None:
    if object_labels.worker() not in ("", entry.get("worker", "")):
        return
    if registry := entry.get("registry"):
        record.registries.add(registry)
    for key in filter(None, (entry.get("tag"), entry.get("id"))):
        record.kinds[key] = entry.get("kind", "")
    if tag := entry.get("tag"):
        record.tags[tag], record.latest[tag] = entry.get("process", ""), entry.get("id", "")
    if image := entry.get("id"):
        record.ids.add(image)
        record.processes[image] = entry.get("process", "")


def note(client: docker.DockerClient, **entry: str) -> None:
    """Add a line: `id` and `tag` of an image with its `kind`, or a `registry`. Where the folder cannot be written, labels must do. Asks the engine."""
    worker = {"worker": object_labels.worker()} if object_labels.worker() else {}
    line = (
        json.dumps(
            {
                **{key: value for key, value in entry.items() if value},
                "process": process_marks.mark(),
                **worker,
            }
        )
        + "\n"
    )
    with suppress(OSError):
        file = record_file(client)
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


def _engine_id(client: docker.DockerClient) -> str:
    if not hasattr(client, "_dockerlab_engine"):
        name = client.info().get("ID") or client.api.base_url
        client._dockerlab_engine = "".join(each if each.isalnum() or each == "-" else "_" for each in name)  # noqa: SLF001
    known: str = client._dockerlab_engine  # noqa: SLF001
    return known


# --- containers, networks, volumes ------------------------------------------------------------------------------------------


def marked(labels: Mapping[str, str] | None, inherited: Mapping[str, str] | None = None) -> bool:
    """Whether a thing with these labels was made by the course for this learner; `inherited` are the labels of its image. Pure."""
    labels, mark = labels or {}, (labels or {}).get(object_labels.OBJECT_LABEL, "")
    own = (
        labels.get(object_labels.COURSE_LABEL) == "1"
        and labels.get(object_labels.OWNER_LABEL) == object_labels.owner()
    )
    worker = object_labels.worker() in ("", labels.get(object_labels.WORKER_LABEL, ""))
    return own and worker and bool(mark) and (inherited or {}).get(object_labels.OBJECT_LABEL) != mark


def made_by_the_course(client: docker.DockerClient, container: Container) -> bool:
    """Whether the course made this container, for whichever learner. Asks the engine."""
    mark = container.labels.get(object_labels.OBJECT_LABEL)
    return bool(mark) and (_inherited(client, container) or {}).get(object_labels.OBJECT_LABEL) != mark


def only_inherited(client: docker.DockerClient, container: Container, key: str) -> bool:
    """Whether a container has the label `key` with the value of its image, so that nobody need have set it. Asks the engine."""
    own: str | None = container.labels.get(key)
    return (_inherited(client, container) or {}).get(key) == own


def containers(client: docker.DockerClient, *more: str) -> list[Container]:
    """This learner's containers that carry `more` (`key=value`, or a key), running or not. Asks the engine."""
    found = client.containers.list(
        all=True, filters=object_labels.mine(object_labels.OBJECT_LABEL, *more), ignore_removed=True
    )
    record = read(client) if found else Record()
    return [each for each in found if marked(each.labels, _inherited(client, each, record))]


def _inherited(
    client: docker.DockerClient, container: Container, record: Record | None = None
) -> Mapping[str, str] | None:
    """The labels of a container's image. Where that is gone, only one that we built is known to carry no mark. Asks the engine."""
    image = container.attrs.get("Image", "")
    try:
        return (client.api.inspect_image(image).get("Config") or {}).get("Labels")
    except ImageNotFound:
        return {} if image in (record or read(client)).ids else container.labels


def networks(client: docker.DockerClient, *more: str) -> list[Network]:
    """This learner's networks that carry `more`. Asks the engine."""
    return [
        each
        for each in client.networks.list(filters=object_labels.mine(*more))
        if marked(each.attrs.get("Labels"))
    ]


def volumes(client: docker.DockerClient, *more: str) -> list[Volume]:
    """This learner's volumes that carry `more`. Asks the engine."""
    return [
        each
        for each in client.volumes.list(filters=object_labels.mine(*more))
        if marked(each.attrs.get("Labels"))
    ]


def note_registry(client: docker.DockerClient, container: Container) -> None:
    """Before a container of ours goes: note the addresses that it publishes, so that tags which name them as a registry are known as ours."""
    for bindings in (container.attrs.get("NetworkSettings", {}).get("Ports") or {}).values():
        for port in {binding["HostPort"] for binding in bindings or []}:
            note(client, registry=port)


# --- images -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnImage:
    """An image of this learner: its tags, and which of them the course gave it."""

    id: str
    tags: tuple[str, ...]
    ours: tuple[str, ...]
    kind: str
    temporary: str = ""  # the mark of the process that it was built for, where it is of no use to any other

    @property
    def dangling(self) -> bool:
        """Whether it has no tag at all."""
        return not self.tags


def is_own_image(
    image: str,
    tags: Iterable[str],
    labels: Mapping[str, str] | None,
    record: Record,
    here: Collection[str] = (),
) -> bool:
    """Whether the course built this very image for this learner; `here` are the ids of all images of the engine. Pure."""
    if image in record.ids:
        return True
    labels = labels or {}
    own = (
        labels.get(object_labels.COURSE_LABEL) == "1"
        and labels.get(object_labels.OWNER_LABEL) == object_labels.owner()
    )
    tag = labels.get(object_labels.TAG_LABEL, "")
    others = (
        object_labels.worker()
        and tag not in record.tags
        and labels.get(object_labels.WORKER_LABEL) != object_labels.worker()
    )
    if not own or tag not in tags or others:
        return False
    # Where somebody built FROM our image under its very name, the one that we noted is still there, without its name.
    return record.latest.get(tag) not in here


def images(client: docker.DockerClient, *more: str) -> list[OwnImage]:
    """The images that the course built for this learner and that carry `more` (`key=value`); bases are not among them. Asks the engine."""
    return [
        each for each in own_images(client, *more) if each.kind != "base" and (each.dangling or each.ours)
    ]


def bases(client: docker.DockerClient) -> list[OwnImage]:
    """The bases that this learner made or brought, and that nothing but bases uses any more. Asks the engine."""
    own = [each for each in own_images(client) if each.kind == "base"]
    ids = {each.id for each in own}
    layers = (
        {
            entry["Id"]: client.api.inspect_image(entry["Id"])["RootFS"].get("Layers") or []
            for entry in client.api.images()
        }
        if own
        else {}
    )
    used = {each["ImageID"] for each in client.api.containers(all=True)}
    used |= {
        base
        for base in ids
        for image, above in layers.items()
        if image not in ids and above[: len(layers.get(base, ()))] == layers.get(base)
    }
    return [each for each in own if each.id not in used]


def own_images(client: docker.DockerClient, *more: str) -> Iterator[OwnImage]:
    """All images that the course built for this learner, bases too, that carry `more`. Asks the engine."""
    record, entries = read(client), client.api.images()
    prefixes, here = (
        (object_labels.NAME_PREFIX, *_own_registries(client, record)),
        {entry["Id"] for entry in entries},
    )
    for entry in entries:
        tags = tuple(tag for tag in entry.get("RepoTags") or [] if tag != "<none>:<none>")
        labels = entry.get("Labels") or {}
        if not all(labels.get(key) == value for key, _, value in (label.partition("=") for label in more)):
            continue
        if is_own_image(entry["Id"], tags, labels, record, here):
            kind = record.kinds.get(entry["Id"]) or labels.get(object_labels.KIND_LABEL, "")
            public = {labels.get(object_labels.TAG_LABEL), *record.tags} if kind == "base" else set()
            ours = tuple(tag for tag in tags if tag in public or tag.startswith(prefixes))
            yield OwnImage(entry["Id"], tags, ours, kind, _temporary(entry["Id"], tags, record))


def _own_registries(client: docker.DockerClient, record: Record) -> tuple[str, ...]:
    """How tags begin that name a registry of ours, one that runs or one that is gone. Asks the engine."""
    running = {
        str(port["PublicPort"])
        for each in client.api.containers(filters=object_labels.mine(object_labels.OBJECT_LABEL))
        for port in each.get("Ports") or []
        if port.get("PublicPort")
    }
    return tuple(f"{host}:{port}/" for host in LOOPBACK for port in record.registries | running)


def _temporary(image: str, tags: Iterable[str], record: Record) -> str:
    """The process that an image was built for which nobody else needs, such as that of a check."""
    for key in (image, *tags):
        if record.kinds.get(key) in object_labels.TEMPORARY_KINDS:
            return record.processes.get(image) or record.tags.get(key, "")
    return ""


def remove_image(client: docker.DockerClient, image: OwnImage) -> list[tuple[str, str]]:
    """Remove the tags that are ours, or an image without any; returns what the engine refused, with its reason. Asks the engine.

    A foreign tag keeps its image, and so does anybody's container.
    """
    refused = []
    for name in image.ours if image.tags else (image.id,):
        try:
            client.images.remove(name)
        except NotFound:
            continue
        except APIError as error:
            refused.append((name, str(error.explanation or error).splitlines()[0]))
    return refused


def build_options(client: docker.DockerClient, tag: str, labels: Mapping[str, str]) -> list[str]:
    """What a `docker build` of ours is told: the tag, and labels that may stand on an image. Notes the tag first. Asks the engine."""
    marks = object_labels.image_labels(tag) | object_labels.for_image(labels)
    note(client, tag=object_labels.full_tag(tag), kind=marks[object_labels.KIND_LABEL])
    return ["--tag", tag, *object_labels.options(marks).split()]


def note_built(client: docker.DockerClient, tag: str) -> None:
    """After a `docker build` of ours: note the image, so that it is known as ours when another has taken its tag. Asks the engine."""
    image = client.images.get(tag)
    note(
        client,
        id=image.id,
        tag=object_labels.full_tag(tag),
        kind=image.labels.get(object_labels.KIND_LABEL, "image"),
    )


class Images(ImageCollection):
    """docker-py's images; what it builds under a name of the course is labelled and noted."""

    def build(self, **options: Any) -> tuple[Image, Any]:
        """As docker-py's. Asks the engine."""
        tag = options.get("tag") or ""
        if not tag.startswith(object_labels.NAME_PREFIX):
            built: tuple[Image, Any] = super().build(**options)
            return built
        labels = options.get("labels") or {}
        given = {object_labels.KIND_LABEL: "image"} | (dict(labels) if isinstance(labels, Mapping) else {})
        options["labels"] = object_labels.image_labels(tag) | object_labels.for_image(given)
        note(self.client, tag=object_labels.full_tag(tag), kind=options["labels"][object_labels.KIND_LABEL])
        image, log = super().build(**options)
        note(
            self.client,
            id=image.id,
            tag=object_labels.full_tag(tag),
            kind=options["labels"][object_labels.KIND_LABEL],
        )
        self._note_steps(image, options["labels"][object_labels.KIND_LABEL])
        return image, log

    def _note_steps(self, image: Image, kind: str) -> None:
        """The classic builder sets each label in an image of its own, which may come to light when the one that was built goes."""
        with suppress(ImageNotFound):
            while parent := image.attrs.get("Parent"):
                image = self.get(parent)
                if image.tags or object_labels.COURSE_LABEL not in image.labels:
                    return
                note(self.client, id=parent, kind=kind)


class Client(docker.DockerClient):
    """docker-py's client, whose builds for the course are noted; `api` is the connection of another client."""

    def __init__(self, api: docker.APIClient) -> None:
        self.api = api

    @property
    def images(self) -> Images:
        """The images of the engine."""
        return Images(client=self)


def mark_commands(client: docker.DockerClient) -> None:
    """From now on `docker run`, `create` and `build` that this process starts put the course's labels on what they make.

    It puts a small program called `docker` in front of the PATH, which adds the options and hands over to the command itself, and notes
    the ids of images. Asks the engine.
    """
    here = Path(__file__).with_name("commands")
    file = record_file(client)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "DOCKERLAB_MARKS": object_labels.options(object_labels.labels()), "DOCKERLAB_IMAGE_MARKS": object_labels.options(object_labels.image_labels()),
        "DOCKERLAB_RECORD": str(file), "DOCKERLAB_PROCESS": process_marks.mark(), "DOCKERLAB_PREFIX": naming.prefix(),
    }  # fmt: skip
    path = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([str(here), *(each for each in path if each != str(here))])
