"""Volumes without a name that a learner's container leaves behind.

`docker run --rm` takes them along; docker-py's `run(remove=True)` and a plain `docker rm` do not, and then nothing on the engine says
whose they were. So what the engine tells of containers and volumes is read while a submission is judged.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress

import docker
import requests
from docker.errors import APIError, DockerException

from dockerlab.engine import object_labels


class NamelessVolumes:
    """Follows the containers that carry `label=value`; `close()` removes the nameless volumes that they mounted and left. Asks the engine."""

    def __init__(self, client: docker.DockerClient, label: str, value: str) -> None:
        self._client, self._label, self._value = client, label, value
        self._containers: set[str] = set()
        self._mounted: dict[str, str] = {}  # volume: container
        self._stream = client.events(
            filters={"type": ["container", "volume"], "event": ["create", "mount"]}, decode=True
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(
            DockerException, requests.RequestException, OSError, ValueError, AttributeError
        ):  # the stream was closed, or the engine went
            for event in self._stream:
                about = event["Actor"]
                if event["Type"] == "volume" and "container" in about["Attributes"]:
                    self._mounted[about["ID"]] = about["Attributes"]["container"]
                elif event["Type"] == "container" and _is_ours(about["Attributes"], self._label, self._value):
                    self._containers.add(about["ID"])

    def close(self) -> None:
        """Stop reading and remove what was left; a volume that some container still uses stays."""
        for name in self.stop():
            with suppress(APIError):
                self._client.volumes.get(name).remove()

    def stop(self) -> list[str]:
        """Stop reading; the nameless volumes that were mounted, whether they are still there or not."""
        with suppress(DockerException, requests.RequestException, OSError):
            self._stream.close()
        self._thread.join(5)
        return [
            volume
            for volume, container in self._mounted.items()
            if container in self._containers and is_nameless(volume)
        ]


def _is_ours(labels: Mapping[str, str], label: str, value: str) -> bool:
    """Whether a container was made with this label; one that somebody runs from an image with it has it too, but not the mark of an object."""
    return labels.get(label) == value and object_labels.OBJECT_LABEL in labels


def is_nameless(volume: str) -> bool:
    """Whether the engine made up this name: 64 hexadecimal digits."""
    return len(volume) == 64 and not set(volume) - set("0123456789abcdef")
