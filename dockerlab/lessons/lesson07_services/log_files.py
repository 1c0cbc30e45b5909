"""The files in which the engine keeps what a container wrote. They belong to root on the engine's machine, so a container looks for us."""

from __future__ import annotations

import docker
from docker.models.containers import Container

from dockerlab.engine import object_labels
from dockerlab.images import base_images


def log_files(container: Container, client: docker.DockerClient) -> dict[str, int]:
    """The log files of a container and their bytes, rotated ones too, whatever the log driver. Asks the engine."""
    base_images.ensure(base_images.DEBIAN, client)
    folder = f"{client.info()['DockerRootDir']}/containers/{container.id}"
    listing = client.containers.run(
        base_images.DEBIAN,
        ["find", "/folder", "-type", "f", "-name", "*.log*", "-printf", "%f %s\n"],
        remove=True,
        network_mode="none",
        volumes={folder: {"bind": "/folder", "mode": "ro"}},
        labels=object_labels.labels(kind="container"),
    )
    rows = (line.split() for line in listing.decode().splitlines())
    return {name.replace(str(container.id), "ID"): int(size) for name, size in sorted(rows)}
