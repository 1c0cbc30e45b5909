"""Remove what the course made on the engine, and nothing else.

A thing is the course's when it carries the label `dockerlab.course=1`. One trap: what anybody builds or runs from a stand-in
base inherits that base's labels. Such a thing says `dockerlab.kind=base`, but has neither the name of a base nor our prefix:
it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.images import Image

from dockerlab import engine, swarm
from dockerlab.bases import BASES

FILTER = {"label": f"{engine.COURSE_LABEL}=1"}


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
        counts = ((self.containers, "container"), (self.images, "image"), (self.volumes, "volume"), (self.networks, "network"))
        line = "Removed " + ", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
        return "\n".join(
            [f"{line}: {self.freed_bytes / 1e6:.0f} MB freed.", *(f"Still in use, kept: {name}" for name in self.kept)]
        )


def remove_labelled(client: docker.DockerClient, label: str) -> CleanReport:
    """Remove every container, network, volume and image with `label` (`key=value`), whoever made it; bases stay. Asks the engine.

    For the objects of one lesson, which carry a label of their own: before it begins again, and when it ends.
    """
    found, kept = {"label": label}, []
    containers = client.containers.list(all=True, filters=found, ignore_removed=True)
    counts = {"containers": sum(_removed(each.name, kept, each.remove, force=True, v=True) for each in containers)}
    counts["networks"] = sum(_removed(each.name, kept, each.remove) for each in client.networks.list(filters=found))
    counts["volumes"] = sum(_removed(each.name, kept, each.remove) for each in client.volumes.list(filters=found))
    counts["images"] = gone = _remove_images(client, found, kept)
    while gone and not kept:  # with containerd's store the classic builder's last steps come to light when their image goes
        gone = _remove_images(client, found, kept)
    return CleanReport(**counts, kept=tuple(kept))


def _remove_images(client: docker.DockerClient, found: Mapping[str, str], kept: list[str]) -> int:
    images = [each for each in listed(client, found) if not is_base(each.labels, each.tags)]
    return sum(_removed(", ".join(each.tags) or each.id, kept, client.images.remove, each.id, force=True) for each in images)


def listed(client: docker.DockerClient, filters: Mapping[str, str]) -> list[Image]:
    """The images that match, without those that somebody removes meanwhile, over which `client.images.list` stumbles. Asks the engine."""
    found = []
    for entry in client.api.images(filters=dict(filters)):
        with suppress(ImageNotFound):
            found.append(client.images.get(entry["Id"]))
    return found


def is_ours(labels: Mapping[str, str] | None, names: Iterable[str], mine: str) -> bool:
    """Whether a thing with these labels and names was made by the course for the learner `mine`; bases are not counted."""
    labels, names = labels or {}, list(names)
    if labels.get(engine.COURSE_LABEL) != "1" or labels.get(engine.OWNER_LABEL, mine) != mine:
        return False
    named = any(name.startswith(engine.NAME_PREFIX) for name in names)
    return not is_base(labels, names) and (named or labels.get(engine.KIND_LABEL) != "base")


def is_base(labels: Mapping[str, str] | None, tags: Iterable[str]) -> bool:
    """Whether an image is a stand-in that the course made under a public name."""
    return (labels or {}).get(engine.KIND_LABEL) == "base" and any(tag in BASES for tag in tags)


def clean(client: docker.DockerClient, everything: bool = False) -> CleanReport:
    """Remove this learner's containers, networks, volumes and images; with `everything` the bases too. Asks the engine.

    The build cache carries no labels and is everybody's, so it stays.
    """
    swarm.sweep(client)  # its services would start their containers again
    mine, kept, before = engine.owner(), [], _layers(client)
    counts = {"containers": 0, "networks": 0, "volumes": 0, "images": 0}
    for container in client.containers.list(all=True, filters=FILTER, ignore_removed=True):
        if is_ours(container.labels, [container.name], mine):
            counts["containers"] += _removed(container.name, kept, container.remove, force=True, v=True)
    for network in client.networks.list(filters=FILTER):
        if is_ours(network.attrs.get("Labels"), [network.name], mine):
            counts["networks"] += _removed(network.name, kept, network.remove)
    sizes, volumes_freed = _volume_sizes(client), 0
    for volume in client.volumes.list(filters=FILTER):
        if is_ours(volume.attrs.get("Labels"), [volume.name], mine):
            gone = _removed(volume.name, kept, volume.remove)
            counts["volumes"] += gone
            volumes_freed += sizes.get(volume.name, 0) if gone else 0
    counts["images"] = _clean_images(client, everything, mine, kept)
    return CleanReport(**counts, kept=tuple(kept), freed_bytes=max(0, before - _layers(client)) + volumes_freed)


def _clean_images(client: docker.DockerClient, everything: bool, mine: str, kept: list[str]) -> int:
    """Remove images, tag by tag, so that a foreign tag on one of our images keeps its image."""
    count = 0
    for image in listed(client, FILTER):
        base = everything and is_base(image.labels, image.tags) and (image.labels or {}).get(engine.OWNER_LABEL, mine) == mine
        if not base and not is_ours(image.labels, image.tags, mine):
            continue
        tags = [tag for tag in image.tags if tag.startswith(engine.NAME_PREFIX) or tag in BASES] or (
            [] if image.tags else [image.id]
        )
        gone = [_removed(tag, kept, client.images.remove, tag, noprune=False) for tag in tags]
        count += bool(gone) and all(gone) and len(tags) == max(1, len(image.tags))
    return count


def _removed(name: str, kept: list[str], remove, *args, **options) -> bool:  # noqa: ANN001, ANN002, ANN003
    """Call `remove`; a thing that is already gone counts as removed, one that is in use is noted in `kept`."""
    try:
        remove(*args, **options)
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
