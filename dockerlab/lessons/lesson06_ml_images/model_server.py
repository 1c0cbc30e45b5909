"""An internal model server as a container on a network of its own, for as long as a `with` block lasts.

Its address there is a number: when an engine leaves a swarm, containers that run lose the names of their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network

from dockerlab.containers import container
from dockerlab.core import polling
from dockerlab.core.errors import CourseError
from dockerlab.engine import naming, object_labels
from dockerlab.images import base_images

PORT = 8000
_SCRIPT = Path(__file__).with_name("model_server_script.py")


@dataclass
class ModelServer:
    """`url` is its address on `network`; `control` is the same server as the host reaches it."""

    container: Container
    network: Network
    control: str
    url: str

    def behave(self, **settings: Any) -> None:
        """Set mbit (speed, 0: no limit), busy (how many of the next requests get 503) or damage (files arrive wrong). Asks the server."""
        requests.post(f"{self.control}/control", json=settings, timeout=10).raise_for_status()

    def requests(self) -> list[str]:
        """Paths that were asked for so far. Asks the server."""
        return list(requests.get(f"{self.control}/control", timeout=10).json())

    def __repr__(self) -> str:
        return f"ModelServer({self.url})"


@contextmanager
def serving(
    folder: Path,
    client: docker.DockerClient,
    name: str = "dockerlab-models",
    labels: Mapping[str, str] | None = None,
    mbit: float = 0,
) -> Iterator[ModelServer]:
    """Serve the files of `folder`, at `mbit` megabits a second where that is set; network and container are called `name`.

    Leftovers under that name are removed first. Raises CourseError when the server does not answer in 20 s.
    """
    base_images.ensure(base_images.SLIM, client)
    name = naming.own(name)
    _remove(client, name)
    marks = dict(labels or object_labels.labels(kind="network"))
    network = client.networks.create(name, labels=marks)
    try:
        server = client.containers.run(
            base_images.SLIM,
            ["python", "-u", "-c", _SCRIPT.read_text(encoding="utf-8")],
            name=name,
            detach=True,
            labels=marks,
            user="10001",
            environment={"MBIT": str(mbit)},
            ports={f"{PORT}/tcp": ("127.0.0.1", None)},
            volumes={str(folder.resolve()): {"bind": "/models", "mode": "ro"}},
            network=name,
        )
        control = container.published(server, PORT)
        if not polling.wait_until(lambda: _answers(control), 20):
            raise CourseError(
                "The model server does not answer.",
                server.logs(tail=2).decode(errors="replace").strip(),
                f"Run `docker logs {name}`.",
            )
        yield ModelServer(server, network, control, f"http://{container.address(server)}:{PORT}")
    finally:
        _remove(client, name)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/control", timeout=2).ok
    except requests.RequestException:
        return False


def _remove(client: docker.DockerClient, name: str) -> None:
    for found in client.containers.list(all=True, filters={"name": f"^/{name}$"}):
        container.remove(found)
    for network in client.networks.list(filters={"name": f"^{name}$"}):
        with suppress(APIError):
            network.remove()
