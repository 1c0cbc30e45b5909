"""Remove what the course made on the engine, and nothing else: `ownership` says what that is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from dockerlab.containers import swarm
from dockerlab.core import ipython
from dockerlab.engine import naming, object_labels, ownership, process_marks
from dockerlab.engine.ownership import OwnImage
from dockerlab.images.base_images import give_back


@dataclass(frozen=True)
class CleanReport:
    """How many things were removed, how many could not be, and the bytes that layers and volumes gave back."""

    containers: int = 0
    images: int = 0
    volumes: int = 0
    networks: int = 0
    kept: tuple[str, ...] = ()
    freed_bytes: int = 0

    def __str__(self) -> str:
        """One line, and one for each thing that is still in use."""
        counts = (
            (self.containers, "container"),
            (self.images, "image"),
            (self.volumes, "volume"),
            (self.networks, "network"),
        )
        line = "Removed " + ", ".join(
            f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts
        )
        return "\n".join(
            [
                f"{line}: {self.freed_bytes / 1e6:.0f} MB freed.",
                *(f"Still in use, kept: {name}" for name in self.kept),
            ]
        )


def remove_labelled(client: docker.DockerClient, label: str) -> CleanReport:
    """Remove this learner's containers, networks, volumes and images with `label` (`key=value`); bases stay. Asks the engine.

    For the objects of one lesson, which carry a label of their own: before it begins again, and when it ends.
    """
    return _remove_all(client, labelled(client, label), lambda: ownership.images(client, label), [])


def labelled(client: docker.DockerClient, label: str) -> Own:
    """This learner's containers, networks, volumes and images with `label` (`key=value`), without the bases. Asks the engine."""
    return Own(
        ownership.containers(client, label),
        ownership.networks(client, label),
        ownership.volumes(client, label),
        ownership.images(client, label),
    )


def remove_named(client: docker.DockerClient, prefix: str) -> CleanReport:
    """Remove this learner's containers, networks, volumes and images whose names begin with `prefix`; bases stay. Asks the engine."""
    return _remove(client, named(client, prefix))


def named(client: docker.DockerClient, prefix: str) -> Own:
    """This learner's containers, networks, volumes and images whose names begin with `prefix`; of an image, those tags. Asks the engine."""
    prefix = naming.own(prefix)
    images = [
        replace(each, ours=tuple(tag for tag in each.ours if tag.startswith(prefix)))
        for each in ownership.images(client)
    ]
    containers, networks, volumes = (
        [each for each in kind if each.name.startswith(prefix)]
        for kind in (ownership.containers(client), ownership.networks(client), ownership.volumes(client))
    )
    return Own(containers, networks, volumes, [each for each in images if each.ours])


def remove_dangling(client: docker.DockerClient) -> CleanReport:
    """Remove the images that the course built for this learner and that have lost their tags since. Asks the engine."""
    return _remove(client, Own(images=[each for each in ownership.images(client) if each.dangling]))


@dataclass
class Own:
    """Things of this learner that are on the engine."""

    containers: list[Container] = field(default_factory=list)
    networks: list[Any] = field(default_factory=list)
    volumes: list[Any] = field(default_factory=list)
    images: list[OwnImage] = field(default_factory=list)

    def __len__(self) -> int:
        """How many things there are."""
        return len(self.containers) + len(self.networks) + len(self.volumes) + len(self.images)

    def __str__(self) -> str:
        """What there is in words, such as `2 containers, 1 volume`; "" for nothing."""
        counts = (
            (self.containers, "container"),
            (self.networks, "network"),
            (self.volumes, "volume"),
            (self.images, "image"),
        )
        return ", ".join(
            f"{len(things)} {noun}{'' if len(things) == 1 else 's'}" for things, noun in counts if things
        )


def left_by_the_dead(client: docker.DockerClient) -> Own:
    """What processes of this learner left that have died: a killed kernel, check or test. Asks the engine."""

    def dead(labels: dict[str, str] | None) -> bool:
        return not process_marks.alive((labels or {}).get(object_labels.PROCESS_LABEL, ""))

    return Own(
        [each for each in ownership.containers(client, object_labels.PROCESS_LABEL) if dead(each.labels)],
        [
            each
            for each in ownership.networks(client, object_labels.PROCESS_LABEL)
            if dead(each.attrs["Labels"])
        ],
        [
            each
            for each in ownership.volumes(client, object_labels.PROCESS_LABEL)
            if dead(each.attrs["Labels"])
        ],
        [
            each
            for each in ownership.images(client)
            if each.temporary and not process_marks.alive(each.temporary)
        ],
    )


def begin(client: docker.DockerClient, label: str = "") -> None:
    """The first step of a lesson: `sweep`, then remove what an earlier run of it left with `label`. Asks the engine.

    In a notebook, `docker` marks from then on what it makes.
    """
    sweep(client)
    if label:
        remove_labelled(client, label)
    if ipython.shell() is not None:
        ownership.mark_commands(client)


def sweep(client: docker.DockerClient) -> list[str]:
    """Remove what processes of this learner left that have died, the swarm and its services first; returns the names. Asks the engine.

    The first step of every lesson and of every command that uses the engine. Never in the way of what comes next: an error of the engine
    leaves the rest for `dockerlab clean`. What names no process stays, and so does what a process made that cannot be seen from here.
    """
    gone: list[str] = []
    with suppress(DockerException, requests.RequestException):
        gone += ["the swarm"] * swarm.sweep(client)
        _remove(client, left_by_the_dead(client), gone)
    for path in process_marks.dead_folders():
        shutil.rmtree(path, ignore_errors=True)
        gone += [] if path.exists() else [str(path)]
    return gone


def clean(client: docker.DockerClient, everything: bool = False) -> CleanReport:
    """Remove this learner's containers, networks, volumes and images, and leave a swarm of theirs. Asks the engine.

    With `everything` the bases too that this learner made or brought, unless somebody's container or image uses them. The build cache
    carries no labels and is everybody's, so it stays. The last learner of an engine takes what serves them all; the plain names are given back.
    """
    swarm.leave(client)  # its services would start their containers again
    before = _layers(client)
    sizes = _volume_sizes(client)
    gone: list[str] = []
    volumes = [
        each for each in ownership.volumes(client) if each.name != swarm.LOCK or not swarm.in_use(client)
    ]
    own = Own(
        [*_but_servers(ownership.containers(client)), *_servers(client)],
        ownership.networks(client),
        volumes,
        ownership.images(client),
    )
    report = _remove_all(client, own, lambda: ownership.images(client), gone)
    count, kept = report.images, list(report.kept)
    if everything:
        give_back(client)
        count += sum(_image_removed(client, each, kept) for each in ownership.bases(client))
    naming.give_back(client)
    for path in process_marks.dead_folders():
        shutil.rmtree(path, ignore_errors=True)
    freed = max(0, before - _layers(client)) + sum(sizes.get(name, 0) for name in gone)
    return replace(report, images=count, kept=tuple(kept), freed_bytes=freed)


def _but_servers(containers: list[Container]) -> list[Container]:
    return [each for each in containers if each.labels.get(object_labels.KIND_LABEL) != "index"]


def _servers(client: docker.DockerClient) -> list[Container]:
    """The containers that serve every learner (`index`), whoever started them; none while another learner has things here. Asks the engine."""
    others = {
        owner
        for owner, name in naming.things(client)
        if name.startswith(object_labels.NAME_PREFIX) and name not in naming.ONE_TO_AN_ENGINE
    } - {object_labels.owner()}
    found = (
        []
        if others
        else client.containers.list(
            all=True, filters={"label": f"{object_labels.KIND_LABEL}=index"}, ignore_removed=True
        )
    )
    return [each for each in found if ownership.made_by_the_course(client, each)]


def _remove_all(
    client: docker.DockerClient, own: Own, images: Callable[[], list[OwnImage]], gone: list[str]
) -> CleanReport:
    """`_remove`, and then again as long as steps of the classic builder come to light when their image goes."""
    report, seen = _remove(client, own, gone), {each.id for each in own.images}
    while more := [each for each in images() if each.id not in seen] if report.images else []:
        seen |= {each.id for each in more}
        again = _remove(client, Own(images=more), gone)
        report = replace(report, images=report.images + again.images, kept=(*report.kept, *again.kept))
    return report


def _remove(client: docker.DockerClient, own: Own, gone: list[str] | None = None) -> CleanReport:
    """Remove these things, containers first; their names are added to `gone`."""
    kept: list[str] = []
    gone = [] if gone is None else gone

    def removed(name: str, remove: Callable[..., object], **options: Any) -> bool:
        done = _removed(name, kept, remove, **options)
        gone.extend([name] * done)
        return done

    for each in own.containers:
        ownership.note_registry(client, each)
    images = [*own.images]
    return CleanReport(
        containers=sum(removed(each.name, each.remove, force=True, v=True) for each in own.containers),
        networks=sum(removed(each.name, each.remove) for each in own.networks),
        volumes=sum(removed(each.name, each.remove) for each in own.volumes),
        images=sum(_image_removed(client, each, kept, gone) for each in images),
        kept=tuple(kept),
    )


def _image_removed(
    client: docker.DockerClient, image: OwnImage, kept: list[str], gone: list[str] | None = None
) -> bool:
    """Whether an image is gone as a whole, once its tags of ours are."""
    refused = ownership.remove_image(client, image)
    kept += [f"{name} ({reason})" for name, reason in refused]
    if gone is not None and not refused:
        gone.extend(image.ours or (image.id,))
    return not refused and set(image.ours) == set(image.tags)


def _removed(name: str, kept: list[str], remove: Callable[..., object], **options: Any) -> bool:
    """Call `remove`; a thing that is already gone counts as removed, one that is in use is noted in `kept`."""
    try:
        remove(**options)
    except NotFound:
        return True
    except APIError as error:
        if error.status_code == 409 and "already in progress" in str(error):
            return True
        kept.append(f"{name} ({str(error.explanation or error).splitlines()[0]})")
        return False
    return True


def _layers(client: docker.DockerClient) -> int:
    """Bytes of all image layers, each counted once."""
    return client.api.df().get("LayersSize") or 0


def _volume_sizes(client: docker.DockerClient) -> dict[str, int]:
    return {
        volume["Name"]: max(0, (volume.get("UsageData") or {}).get("Size", 0))
        for volume in client.api.df().get("Volumes") or []
    }
