"""Does an image hold a secret? Every place that its readers have is searched for the value: configuration, history, and all files of all layers."""

from __future__ import annotations

import gzip
import json
import tarfile
import tempfile
from typing import IO

import docker
import zstandard

_BLOCK = 1 << 20


def find(image: str, secret: str, client: docker.DockerClient) -> list[str]:
    """Where `secret` stands in an image: "history", "configuration", or "layer N: path" (0 is the oldest). Asks the engine.

    A file that a later layer deletes is found as well: whoever pulls the image has its layer.
    """
    with tempfile.TemporaryFile() as file:
        for piece in client.images.get(image).save(chunk_size=_BLOCK):
            file.write(piece)
        file.seek(0)
        return find_in_tar(file, secret)


def find_in_tar(file: IO[bytes], secret: str) -> list[str]:
    """The same in a tar that `docker save` wrote. Pure."""
    wanted, places = secret.encode(), []
    with tarfile.open(fileobj=file) as archive:
        manifest = json.loads(_content(archive, "manifest.json"))[0]
        config = json.loads(_content(archive, manifest["Config"]))
        if secret in json.dumps(config.get("history", [])):
            places.append("history")
        if secret in json.dumps(config.get("config", {})):
            places.append("configuration")
        for number, name in enumerate(manifest["Layers"]):
            raw = archive.extractfile(name)
            with tarfile.open(fileobj=_plain(raw), mode="r|", bufsize=_BLOCK) as layer:  # type: ignore[arg-type]
                places += [f"layer {number}: /{entry.name.removeprefix('./')}" for entry in layer if entry.isreg() and wanted in _bytes(layer, entry)]
    return places


def _bytes(layer: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    content = layer.extractfile(entry)
    return content.read() if content else b""


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name)
    return content.read() if content else b""


def _plain(raw: IO[bytes]) -> IO[bytes]:
    """A layer as engines store it, plain, gzip or zstd, as a plain tar."""
    head = raw.read(4)
    raw.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) if head == b"\x28\xb5\x2f\xfd" else raw
