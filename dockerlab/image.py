"""What an image holds and weighs, read from its own tar (`docker save`, or the engine's stream of the same).

Size is two numbers: `disk_bytes` is the sum of the files of all layers, unpacked; `download_bytes` is the sum of the
layers compressed with gzip -6, as a registry would serve them but for a few per cent, since `docker push` packs with
Go's gzip. Both come from the layers' content, so they do not depend on how an engine stores images. Layers are read as
a stream; nothing is unpacked.

How the download is measured stands in compression.py. What was read of a layer is remembered by its digest (layer_cache.py), so an
image is read in full once.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import docker
import pandas as pd
import requests
import zstandard
from docker.errors import APIError, ImageNotFound

from dockerlab import engine, layer_cache
from dockerlab.compression import Gzipped
from dockerlab.errors import CourseError

_BLOCK = 1 << 20
_KEPT = 8
_LONGEST_DOCUMENT = 32 << 20
_REMEMBERED: dict[tuple[str, str], ImageReport] = {}


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


@dataclass(frozen=True)
class Hidden:
    """A file that ships but cannot be seen: its size in bytes, and the numbers of the layers that wrote and hid it."""

    path: str
    how: str
    size: int
    wrote: int
    hid: int


@dataclass(frozen=True)
class Changes:
    """What one layer does to the files below it: paths that it adds, changes and deletes."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]


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
        return sum(each.size for each in self.hidden)

    @property
    def architecture(self) -> str:
        """The processor that the image is made for, as in `amd64`."""
        return self.config.get("architecture", "")

    @property
    def user(self) -> str:
        """The user that the main process runs as; root where the image names none."""
        return self.config.get("config", {}).get("User") or "root"

    def paths(self) -> list[str]:
        """Every file that a container of this image sees."""
        return sorted(self._story[2])

    @property
    def changes(self) -> list[Changes]:
        """Files added, changed and deleted, one entry a layer."""
        return self._story[0]

    @property
    def hidden(self) -> list[Hidden]:
        """Every file that ships unseen."""
        return self._story[1]

    def frame(self) -> pd.DataFrame:
        """One row a layer, oldest first: instruction, MB on disk and to download, files added, changed and deleted.

        `MB wasted` is what this layer wrote and a later one hid.
        """
        wasted = [0] * len(self.layers)
        for each in self.hidden:
            wasted[each.wrote] += each.size
        rows = [(layer.instruction[:80], round(layer.disk_bytes / 1e6, 1), round(layer.download_bytes / 1e6, 1), len(change.added),
                 len(change.changed), len(change.deleted), round(hidden / 1e6, 1))
                for layer, change, hidden in zip(self.layers, self.changes, wasted, strict=True)]
        return pd.DataFrame(rows, columns=["instruction", "MB on disk", "MB to download", "added", "changed", "deleted", "MB wasted"])

    def files(self, layer: int | None = None, top: int = 20) -> pd.DataFrame:
        """The largest files, of one layer (0 is the oldest) or of all: layer, path, MB, and added, changed or deleted."""
        rows: list[tuple[int, str, float, str]] = []
        for number, (each, change) in enumerate(zip(self.layers, self.changes, strict=True)):
            if layer in (None, number):
                for kind in ("added", "changed", "deleted"):
                    rows += [(number, path, each.files.get(path, 0) / 1e6, kind) for path in getattr(change, kind)]
        rows.sort(key=lambda row: (-row[2], row[0], row[1]))
        return pd.DataFrame(rows[:top], columns=["layer", "path", "MB", "kind"]).round({"MB": 2})

    def wasted(self) -> pd.DataFrame:
        """What ships unseen: path, MB, replaced or deleted, the instruction that wrote it and the one that hid it; largest first."""
        rows = [(each.path, round(each.size / 1e6, 2), each.how, self.layers[each.wrote].instruction[:60], self.layers[each.hid].instruction[:60])
                for each in sorted(self.hidden, key=lambda each: (-each.size, each.path)) if each.size]
        return pd.DataFrame(rows, columns=["path", "MB", "how", "written by", "hidden by"])

    @cached_property
    def _story(self) -> tuple[list[Changes], list[Hidden], dict[str, tuple[int, int]]]:
        """Lay the layers on one another: the changes of each, what gets hidden, and path -> (size, layer) of what is seen."""
        changes: list[Changes] = []
        hidden: list[Hidden] = []
        seen: dict[str, tuple[int, int]] = {}
        folders: set[str] = set()
        for number, layer in enumerate(self.layers):
            own_folders = {parent for path in layer.files for parent in _parents(path)}
            # A file where a folder was hides all below it, and a folder where a file was hides that file.
            gone = _hides(layer, seen, {path for path in layer.files if path in folders}) + [path for path in own_folders if path in seen]
            for path in gone:
                if path in seen:
                    size, wrote = seen.pop(path)
                    hidden.append(Hidden(path, "replaced" if path in layer.files else "deleted", size, wrote, number))
            changed = [path for path in layer.files if path in seen]
            hidden += [Hidden(path, "replaced", *seen[path], number) for path in changed]
            rewritten = {*changed, *(path for path in gone if path in layer.files)}
            changes.append(Changes(
                tuple(path for path in layer.files if path not in rewritten),
                tuple(sorted(rewritten)),
                tuple(sorted({path for path in gone if path not in layer.files})),
            ))
            seen |= {path: (size, number) for path, size in layer.files.items()}
            folders |= own_folders
        return changes, hidden, seen

    def __repr__(self) -> str:
        return f"ImageReport({self.reference}: {len(self.layers)} layers)"


def _parents(path: str) -> Iterator[str]:
    """The folders that hold a path, the root ("") first."""
    yield ""
    position = path.find("/")
    while position > 0:
        yield path[:position]
        position = path.find("/", position + 1)


def _hides(layer: Layer, seen: Iterable[str], replaced_folders: set[str]) -> list[str]:
    """Paths of lower layers that this one takes away: whiteouts and opaque folders (OCI image specification, layer.md)."""
    gone = set(layer.deleted)
    emptied = gone.union(layer.emptied, replaced_folders)
    return [path for path in seen if path in gone or not emptied.isdisjoint(_parents(path))] if emptied else []


def inspect(image: str, client: docker.DockerClient | None = None) -> ImageReport:
    """Read an image from the engine; what was read is remembered by the image's id. Raises ImageUnreadable."""
    client = client or engine.connect(timeout=600)
    try:
        found = client.images.get(image)
        key = (client.api.base_url, str(found.id))
        if key not in _REMEMBERED:
            report = _recalled(str(found.id))
            if report is None:
                # By id: a bare name would save every tag of it.
                stream = client.api.get_image(found.id, chunk_size=_BLOCK)
                try:
                    report = _inspect(io.BufferedReader(_Chunks(stream), _BLOCK), image, str(found.id))
                finally:
                    stream.close()
            while len(_REMEMBERED) >= _KEPT:
                del _REMEMBERED[next(iter(_REMEMBERED))]
            _REMEMBERED[key] = report
    except ImageNotFound as error:
        raise ImageUnreadable(f"There is no image {image} on the engine.", fix="Build or pull it first; `docker images` lists what is here.") from error
    except APIError as error:
        raise ImageUnreadable(f"The engine does not hand out {image!r}.", f"{error.explanation or error}.", "Check the name.") from error
    except requests.RequestException as error:
        raise ImageUnreadable(f"The engine stopped answering while {image} was read.", f"{type(error).__name__}.", "Run `dockerlab doctor`.") from error
    return replace(_REMEMBERED[key], reference=image)


def _recalled(image_id: str) -> ImageReport | None:
    """The report of an image that was read before, None where a part of it is not remembered."""
    entry = layer_cache.recall("image", image_id)
    found = [layer_cache.recall("layer", digest) for digest in entry["layers"]] if entry else []
    if entry is None or None in found:
        return None
    return _report("", [Layer(**each) for each in found if each], entry["config"])


def inspect_tar(source: Path | str | IO[bytes], reference: str = "") -> ImageReport:
    """Read a `docker save` tar, from a path or an open stream; no engine is needed. Raises ImageUnreadable.

    Both forms are read: the OCI layout (Docker 25 and later), and the older one with a folder for each layer.
    """
    if isinstance(source, (str, Path)):
        try:
            with Path(source).open("rb") as file:
                return inspect_tar(file, reference or Path(source).name)
        except OSError as error:
            raise ImageUnreadable(f"{source} cannot be opened.", f"{error.strerror or error}.", "Save it again with `docker save -o FILE IMAGE`.") from error
    return _inspect(source, reference)


def _inspect(source: IO[bytes], reference: str, image_id: str = "") -> ImageReport:
    """Read a tar; with `image_id` it comes from the engine, whose blobs bear the digests of their content and can be remembered."""
    name = reference or "The tar"
    try:
        contents = _read(source, remember=bool(image_id))
    except requests.RequestException:
        raise
    except (tarfile.TarError, ValueError, EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        raise ImageUnreadable(f"{name} is no image that `docker save` wrote.", f"{error}.", "Save it again with `docker save`.") from error
    layers, config = contents.parts(name)
    if image_id:
        layer_cache.remember("image", image_id, {"config": config, "layers": layers})
    return _report(reference or contents.tag(), [contents.layer(path) for path in layers], config)


def _report(reference: str, layers: list[Layer], config: dict[str, Any]) -> ImageReport:
    """Layers, oldest first, each with the instruction that made it."""
    history = [_pretty(item.get("created_by", "")) for item in config.get("history") or [] if not item.get("empty_layer")]
    history += ["(not recorded)"] * (len(layers) - len(history))
    # A copy each: one blob may be several layers of an image.
    return ImageReport(reference, [replace(layer, instruction=text) for layer, text in zip(layers, history, strict=False)], config)


@dataclass
class _Contents:
    """What a saved tar holds, in whatever order it came."""

    layers: dict[str, Layer] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def parts(self, name: str) -> tuple[list[str], dict[str, Any]]:
        """The paths of the layers, oldest first, and the image's configuration. Raises ImageUnreadable where one is missing."""
        manifest = self.documents.get("manifest.json")
        if not manifest:
            raise ImageUnreadable(f"{name} holds no manifest.json.", fix="Save it again with `docker save -o FILE IMAGE`.")
        paths = manifest[0].get("Layers") or []
        config = self.documents.get(manifest[0].get("Config"))
        missing = [path for path in paths if self.links.get(path, path) not in self.layers]
        if config is None or missing:
            raise ImageUnreadable(f"{name} lacks {missing[0] if missing else 'its configuration'}.", "The tar is cut short or of several parts.",
                                  "Save it again with `docker save -o FILE IMAGE`.")
        return paths, config

    def tag(self) -> str:
        """The first name of the image."""
        return (self.documents["manifest.json"][0].get("RepoTags") or ["image"])[0]

    def layer(self, path: str) -> Layer:
        """The layer at a path of the manifest."""
        return self.layers[self.links.get(path, path)]


def _read(source: IO[bytes], remember: bool) -> _Contents:
    """Read every member as it streams past: a layer by its first bytes, a document if it is JSON, a link to another layer.

    With `remember`, a layer whose digest was read before is passed over.
    """
    contents = _Contents()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 2)) as pool, tarfile.open(fileobj=source, mode="r|", bufsize=_BLOCK) as archive:
        for entry in archive:
            if entry.issym():
                contents.links[entry.name] = posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), entry.linkname))
            elif entry.islnk():
                contents.links[entry.name] = entry.linkname
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is None:
                continue
            head = content.read(512)
            if _is_layer(head):
                known = layer_cache.recall("layer", entry.name) if remember else None
                contents.layers[entry.name] = layer = Layer(**known) if known else _read_layer(_Joined(head, content), pool)
                if remember and not known:
                    layer_cache.remember("layer", entry.name, asdict(layer))
            elif head[:1] in (b"{", b"[") and entry.size < _LONGEST_DOCUMENT:
                contents.documents[entry.name] = json.loads(head + content.read())
    return contents


def _is_layer(head: bytes) -> bool:
    """gzip, zstd, a tar's header, or the zeros of an empty tar."""
    return head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")) or head[257:262] == b"ustar" or (len(head) == 512 and not any(head))


def _read_layer(raw: IO[bytes], pool: ThreadPoolExecutor) -> Layer:
    """One layer's tar, plain, gzip or zstd: its files and both sizes."""
    plain = Gzipped(decompressed(raw, raw.head), pool)
    layer = Layer()
    with tarfile.open(fileobj=plain, mode="r|", bufsize=_BLOCK) as archive:
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


def decompressed(raw: IO[bytes], head: bytes) -> IO[bytes]:
    """A layer as engines store it, plain, gzip or zstd, as a plain tar; `head` is how it begins."""
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
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
    text = re.sub(r"^(RUN )?(\|\d+ .*?)?/bin/sh -c ", "RUN ", text)
    text = re.sub(r"\b(file|dir|multi):[0-9a-f]{64} in ", "… ", text)  # the classic builder names a checksum, not the source
    return re.sub(r"\s+", " ", text.replace("# buildkit", "")).strip() or "(base image)"
