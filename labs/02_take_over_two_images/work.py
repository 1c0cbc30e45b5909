"""Your work for lab 02. Each function gets a docker-py client first; you may use the command line instead (subprocess)."""

from pathlib import Path

import docker


def load(client: docker.DockerClient, tar: Path) -> str:
    """Load an image file. Returns a name or id by which the engine finds the image."""
    raise NotImplementedError


def kind(client: docker.DockerClient, image: str) -> str:
    """Say what an image is, by its settings: "service" (listens to a port) or "job" (works on a file and ends)."""
    raise NotImplementedError


def run_service(client: docker.DockerClient, image: str, name: str, station: str) -> None:
    """Start the service in the background as container `name`, reporting for `station`, on any free port of 127.0.0.1."""
    raise NotImplementedError


def run_job(client: docker.DockerClient, image: str, boxes: Path) -> str:
    """Let the job count the boxes in this file of yours. Returns what it prints."""
    raise NotImplementedError


def recover(client: docker.DockerClient, container: str) -> bytes:
    """The content of the .csv table that the stopped container wrote. The container stays as it is."""
    raise NotImplementedError


def publish(client: docker.DockerClient, image: str, registry: str) -> str:
    """Push the image to `registry` (host:port) as harbour/board:2.0. Returns its digest, sha256:…"""
    raise NotImplementedError
