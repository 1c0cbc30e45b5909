"""Does an image hold a secret? Every place that its readers have is searched for the value: configuration, history, and all files of all layers."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Sequence
from typing import IO

import docker

from dockerlab import image as image_tar

_BLOCK = 1 << 20


def find(image: str, secret: str, client: docker.DockerClient, below: Sequence[str] = ()) -> list[str]:
    """Where `secret` stands in an image: "history", "configuration", or "layer N: path" (0 is the oldest). Asks the engine.

    A file that a later layer deletes is found as well: whoever pulls the image has its layer. Layers that the image shares with one of
    the images `below` are passed over, since these are known to hold nothing.
    """
    found = client.images.get(image)
    layers = found.attrs["RootFS"].get("Layers") or []
    known = max((_shared(layers, client.images.get(each).attrs["RootFS"].get("Layers") or []) for each in below), default=0)
    with tempfile.TemporaryFile() as file:
        for piece in found.save(chunk_size=_BLOCK):
            file.write(piece)
        file.seek(0)
        return find_in_tar(file, secret, known)


def find_in_tar(file: IO[bytes], secret: str, first: int = 0) -> list[str]:
    """The same in a tar that `docker save` wrote, from layer `first` on. Pure."""
    wanted, places = secret.encode(), []
    with tarfile.open(fileobj=file) as archive:
        manifest = json.loads(_content(archive, "manifest.json"))[0]
        config = json.loads(_content(archive, manifest["Config"]))
        if secret in json.dumps(config.get("history", [])):
            places.append("history")
        if secret in json.dumps(config.get("config", {})):
            places.append("configuration")
        for number, name in enumerate(manifest["Layers"]):
            if number < first:
                continue
            raw = archive.extractfile(name)
            head = raw.read(4)
            raw.seek(0)
            with tarfile.open(fileobj=image_tar.decompressed(raw, head), mode="r|", bufsize=_BLOCK) as layer:  # type: ignore[arg-type]
                places += [f"layer {number}: /{entry.name.removeprefix('./')}" for entry in layer if entry.isreg() and wanted in _bytes(layer, entry)]
    return places


def _shared(layers: Sequence[str], others: Sequence[str]) -> int:
    """How many layers, from the oldest on, two images have in common; 0 where the second has more besides."""
    return len(others) if list(layers[: len(others)]) == list(others) else 0


def _bytes(layer: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    content = layer.extractfile(entry)
    return content.read() if content else b""


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name)
    return content.read() if content else b""
