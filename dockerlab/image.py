"""What an image holds and weighs, read from its own tar (`docker save`, or the engine's stream of the same).

Size is two numbers: `disk_bytes` is the sum of the files of all layers, unpacked; `download_bytes` is the sum of the
layers compressed with gzip -6, as a registry would serve them. Both come from the layers' content, so they do not
depend on how an engine stores images. Layers are read as a stream; nothing is unpacked.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import docker
import pandas as pd
import zstandard
from docker.errors import ImageNotFound

from dockerlab import engine
from dockerlab.errors import CourseError

_BLOCK = 1 << 20
_IMAGE_META = re.compile(r"(manifest|index)\.json$")


class ImageUnreadable(CourseError):
    """The image is not there, or its tar is damaged."""


def mb(size: float) -> str:
    """A size in decimal megabytes (10⁶ bytes), as the whole course writes it."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


@dataclass
class Layer:
    """One layer: the instruction that made it, its files, and what it deletes. Sizes in bytes."""

    instruction: str = ""
    disk_bytes: int = 0
    download_bytes: int = 0
    files: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)


@dataclass(repr=False)
class ImageReport:
    """An image, layer by layer, oldest first."""

    reference: str
    layers: list[Layer]
    config: dict[str, Any]

    @property
    def disk_bytes(self) -> int:
        """Bytes of all files in all layers, unpacked; a file that is in two layers counts twice, as it does on disk."""
        return sum(layer.disk_bytes for layer in self.layers)

    @property
    def download_bytes(self) -> int:
        """Bytes of all layers compressed with gzip -6."""
        return sum(layer.download_bytes for layer in self.layers)

    @property
    def wasted_bytes(self) -> int:
        """Bytes that ship but cannot be seen, because a later layer replaced or deleted the file."""
        return sum(size for _, _, size, _, _ in self._hidden())

    @property
    def user(self) -> str:
        """The user that the main process runs as; root where the image names none."""
        return self.config.get("config", {}).get("User") or "root"

    def paths(self) -> list[str]:
        """Every file that a container of this image sees."""
        seen: dict[str, int] = {}
        for layer in self.layers:
            for path in _hides(layer, seen):
                seen.pop(path, None)
            seen |= layer.files
        return sorted(seen)

    def frame(self) -> pd.DataFrame:
        """One row a layer: instruction, MB on disk, MB to download, files, deleted."""
        rows = [(layer.instruction[:80], round(layer.disk_bytes / 1e6, 1), round(layer.download_bytes / 1e6, 1), len(layer.files),
                 len(layer.deleted) + len(layer.emptied)) for layer in self.layers]
        return pd.DataFrame(rows, columns=["instruction", "MB on disk", "MB to download", "files", "deleted"])

    def files(self, layer: int | None = None, top: int = 20) -> pd.DataFrame:
        """The largest files, of one layer (0 is the oldest) or of all: layer, path, MB, and whether it is new or changed."""
        rows, lower = [], set()
        for number, each in enumerate(self.layers):
            if layer in (None, number):
                rows += [(number, path, round(size / 1e6, 2), "changed" if path in lower else "added") for path, size in each.files.items()]
                rows += [(number, path, 0.0, "deleted") for path in each.deleted]
            lower |= set(each.files)
        frame = pd.DataFrame(rows, columns=["layer", "path", "MB", "kind"])
        return frame.sort_values("MB", ascending=False, kind="stable").head(top).reset_index(drop=True)

    def wasted(self) -> pd.DataFrame:
        """What ships unseen: path, MB, the instruction that wrote it, the instruction that hid it; largest first."""
        rows = [(path, round(size / 1e6, 2), self.layers[wrote].instruction[:60], self.layers[hid].instruction[:60])
                for path, _, size, wrote, hid in self._hidden()]
        return pd.DataFrame(rows, columns=["path", "MB", "written by", "hidden by"]).sort_values("MB", ascending=False).reset_index(drop=True)

    def _hidden(self) -> Iterator[tuple[str, str, int, int, int]]:
        seen: dict[str, tuple[int, int]] = {}
        for number, layer in enumerate(self.layers):
            for path in set(_hides(layer, seen)):
                size, wrote = seen.pop(path)
                yield path, "deleted", size, wrote, number
            for path, size in layer.files.items():
                if path in seen:
                    yield path, "replaced", seen[path][0], seen[path][1], number
                seen[path] = (size, number)

    def __repr__(self) -> str:
        return f"ImageReport({self.reference}: {len(self.layers)} layers)"


def _hides(layer: Layer, seen: Iterable[str]) -> list[str]:
    """Paths of lower layers that this one deletes: whiteouts and opaque folders (OCI image specification, layer.md)."""
    if not layer.deleted and not layer.emptied:
        return []
    gone = set(layer.deleted)
    folders = tuple(f"{path}/" for path in layer.deleted) + tuple(f"{path}/" if path else "" for path in layer.emptied)
    return [path for path in seen if path in gone or path.startswith(folders)]


def inspect(image: str, client: docker.DockerClient | None = None) -> ImageReport:
    """Read an image from the engine. Raises ImageUnreadable when the engine does not have it."""
    client = client or engine.connect(timeout=600)
    try:
        client.images.get(image)
    except ImageNotFound as error:
        raise ImageUnreadable(f"There is no image {image} on the engine.", fix="Build or pull it first; `docker images` lists what is here.") from error
    stream = client.api.get_image(image, chunk_size=_BLOCK)
    return inspect_tar(io.BufferedReader(_Chunks(stream), _BLOCK), image)


def inspect_tar(source: Path | str | IO[bytes], reference: str = "") -> ImageReport:
    """Read a `docker save` tar, from a path or an open stream; no engine is needed. Raises ImageUnreadable."""
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            return inspect_tar(file, reference or Path(source).name)
    blobs, documents = {}, {}
    with ThreadPoolExecutor(2) as pool:
        try:
            with tarfile.open(fileobj=source, mode="r|") as archive:
                for entry in archive:
                    if not entry.isreg():
                        continue
                    content = archive.extractfile(entry)
                    head = content.read(512)
                    if head[:1] in (b"{", b"[") and entry.size < 32 * _BLOCK:
                        documents[entry.name] = json.loads(head + content.read())
                    elif head:
                        blobs[entry.name] = _read_layer(_Joined(head, content), pool)
        except (tarfile.TarError, ValueError, EOFError) as error:
            raise ImageUnreadable(f"{reference or 'The tar'} is no image that `docker save` wrote.", f"{error}.", "Save it again with `docker save`.") from error
    manifest = documents.get("manifest.json")
    if not manifest:
        raise ImageUnreadable(f"{reference or 'The tar'} holds no manifest.json.", fix="Save it again with `docker save -o FILE IMAGE`.")
    config = documents[manifest[0]["Config"]]
    layers = [blobs.get(name, Layer()) for name in manifest[0]["Layers"]]
    history = [_pretty(item.get("created_by", "")) for item in config.get("history", []) if not item.get("empty_layer")]
    for layer, instruction in zip(layers, history, strict=False):
        layer.instruction = instruction
    return ImageReport(reference or (manifest[0].get("RepoTags") or ["image"])[0], layers, config)


def _read_layer(raw: IO[bytes], pool: ThreadPoolExecutor) -> Layer:
    """One layer's tar, plain, gzip or zstd: its files and both sizes."""
    plain = _Counted(_decompressed(raw), pool)
    layer = Layer()
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        for entry in archive:
            path = entry.name.removeprefix("./").strip("/")
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                layer.emptied.append(folder)
            elif name.startswith(".wh."):
                layer.deleted.append(f"{folder}/{name[4:]}".lstrip("/"))
            elif not entry.isdir():
                layer.files[path] = entry.size if entry.isreg() else 0
    while plain.read(_BLOCK):
        pass
    layer.disk_bytes, layer.download_bytes = sum(layer.files.values()), plain.compressed_bytes()
    return layer


def _decompressed(raw: _Joined) -> IO[bytes]:
    if raw.head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if raw.head.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return raw


class _Joined(io.RawIOBase):
    """The first bytes, already read, and the rest."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self.head, self._rest, self._buffer = head, rest, head

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            data, self._buffer = self._buffer + self._rest.read(), b""
            return data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data + self._rest.read(size - len(data)) if len(data) < size else data


class _Counted:
    """Passes a stream on and measures, in other threads, what gzip -6 would make of it, block by block (as pigz does)."""

    _WAITING = 16

    def __init__(self, source: IO[bytes], pool: ThreadPoolExecutor) -> None:
        self._source, self._pool = source, pool
        self._block, self._jobs, self._total = bytearray(), [], 18  # gzip's own header and trailer (RFC 1952)

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._block += data
        while len(self._block) >= _BLOCK:
            self._send(bytes(self._block[:_BLOCK]))
            del self._block[:_BLOCK]
        return data

    def _send(self, block: bytes) -> None:
        self._jobs.append(self._pool.submit(_deflated, block))
        if len(self._jobs) > self._WAITING:  # bounds the memory to a few blocks
            self._total += self._done(self._jobs.pop(0))

    @staticmethod
    def _done(job: Future[int]) -> int:
        return job.result()

    def compressed_bytes(self) -> int:
        if self._block:
            self._send(bytes(self._block))
            self._block.clear()
        self._total += sum(self._done(job) for job in self._jobs)
        self._jobs.clear()
        return self._total


def _deflated(block: bytes) -> int:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return len(compressor.compress(block)) + len(compressor.flush(zlib.Z_SYNC_FLUSH))


class _Chunks(io.RawIOBase):
    """A file over an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _pretty(created_by: str) -> str:
    """A history entry as it stands in the Dockerfile."""
    text = re.sub(r"^/bin/sh -c #\(nop\)\s*", "", created_by)
    text = re.sub(r"^/bin/sh -c ", "RUN ", text)
    text = re.sub(r"RUN (\|\d+ .*? )?/bin/sh -c ", "RUN ", text)
    return re.sub(r"\s+", " ", text.replace("# buildkit", "")).strip() or "(base image)"
