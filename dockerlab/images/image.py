"""What an image holds and weighs, read from its own tar (`docker save`, or the engine's stream of the same).

Size is two numbers: `disk_bytes` is the sum of the files of all layers, unpacked; `download_bytes` is the sum of the
layers compressed with gzip -6, as a registry would serve them but for a few per cent, since `docker push` packs with
Go's gzip. Both come from the layers' content, so they do not depend on how an engine stores images. Layers are read as
a stream; nothing is unpacked.

How the download is measured stands in compression.py. What was read of a layer is remembered by its digest (layer_cache.py), so an
image is read in full once.
"""

from __future__ import annotations

import os
import posixpath
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import docker
import pandas as pd
import requests
from docker.errors import APIError, ImageNotFound

from dockerlab.core import disk_cache
from dockerlab.engine import connection
from dockerlab.images import saved_tar
from dockerlab.images.gzip_estimate import Gzipped
from dockerlab.images.saved_tar import ImageUnreadable

_KEPT = 8
_REMEMBERED: dict[tuple[str, str], ImageReport] = {}
_remembering = threading.Lock()


def mb(size: float) -> str:
    """A size in decimal megabytes (10⁶ bytes), as the whole course writes it."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


@dataclass
class Layer:
    """One layer: the instruction that made it, its files, and what it deletes. Sizes in bytes.

    `links` maps the second and later names of a file to its first; the size stands beside the first.
    """

    instruction: str = ""
    disk_bytes: int = 0
    download_bytes: int = 0
    files: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)


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
        return self.config.get("architecture") or ""

    @property
    def user(self) -> str:
        """The user that the main process runs as; root where the image names none."""
        return (self.config.get("config") or {}).get("User") or "root"

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
            changed = [path for path in layer.files if path in seen]
            for path in dict.fromkeys([*gone, *changed]):
                if path in seen:
                    size, wrote = seen.pop(path)
                    if not self._passed_on(path, size, wrote, seen):
                        hidden.append(Hidden(path, "replaced" if path in layer.files else "deleted", size, wrote, number))
            rewritten = {*changed, *(path for path in gone if path in layer.files)}
            changes.append(Changes(
                tuple(path for path in layer.files if path not in rewritten),
                tuple(sorted(rewritten)),
                tuple(sorted({path for path in gone if path not in layer.files})),
            ))
            seen |= {path: (size, number) for path, size in layer.files.items()}
            folders |= own_folders
        return changes, hidden, seen

    def _passed_on(self, path: str, size: int, wrote: int, seen: dict[str, tuple[int, int]]) -> bool:
        """Whether the content stays in sight under another name of the same file, which then weighs what it weighs."""
        links = self.layers[wrote].links
        first = links.get(path, path)
        other = next((name for name in (first, *(name for name, target in links.items() if target == first)) if seen.get(name, (0, -1))[1] == wrote), None)
        if other is None or other == path:
            return False
        seen[other] = (size + seen[other][0], wrote)
        return True

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
    client = client or connection.connect(timeout=600)
    try:
        found = client.images.get(image)
        key = (client.api.base_url, str(found.id))
        with _remembering:
            report = _REMEMBERED.get(key)
        if report is None:
            report = _recalled(str(found.id))
            if not (found.attrs.get("RootFS") or {}).get("Layers"):
                report = _report(image, [], saved_tar.bare(found))
            elif report is None:
                with saved_tar.exported(str(found.id), client) as stream:
                    report = _inspect(stream, image, str(found.id))
            with _remembering:
                _REMEMBERED.pop(key, None)
                while len(_REMEMBERED) >= _KEPT:
                    del _REMEMBERED[next(iter(_REMEMBERED))]
                _REMEMBERED[key] = report
    except ImageNotFound as error:
        raise ImageUnreadable(f"There is no image {image} on the engine.", fix="Build or pull it first; `docker images` lists what is here.") from error
    except APIError as error:
        raise ImageUnreadable(f"The engine does not hand out {image!r}.", f"{error.explanation or error}.", "Check the name.") from error
    except requests.RequestException as error:
        raise ImageUnreadable(f"The engine stopped answering while {image} was read.", f"{type(error).__name__}.", "Run `dockerlab doctor`.") from error
    return replace(report, reference=image)


def new_layers(before: str, after: str, client: docker.DockerClient) -> list[Layer]:
    """The layers of the image `after` that the image `before` lacks; of those that both have nothing is read. Asks the engine."""
    old, new = (list(client.images.get(each).attrs["RootFS"].get("Layers") or []) for each in (before, after))
    if set(new) <= set(old):
        return []
    return [layer for digest, layer in zip(new, inspect(after, client).layers, strict=True) if digest not in old]


def _recalled(image_id: str) -> ImageReport | None:
    """The report of an image that was read before, None where a part of it is not remembered."""
    entry = disk_cache.recall("image", image_id)
    found = [disk_cache.recall("layer", digest) for digest in entry["layers"]] if entry else []
    if entry is None or None in found:
        return None
    return _report("", [Layer(**each) for each in found if each], entry["config"])


def inspect_tar(source: Path | str | IO[bytes], reference: str = "") -> ImageReport:
    """Read a `docker save` tar, from a path or an open stream; no engine is needed. Raises ImageUnreadable.

    `reference` names the image, and chooses it where the tar holds several. Both forms are read: the OCI layout (Docker 25 and later),
    and the older one with a folder for each layer.
    """
    if isinstance(source, (str, Path)):
        try:
            with Path(source).open("rb") as file:
                return _inspect(file, reference, title=Path(source).name)
        except OSError as error:
            raise ImageUnreadable(f"{source} cannot be opened.", f"{error.strerror or error}.", "Save it again with `docker save -o FILE IMAGE`.") from error
    return _inspect(source, reference)


def _inspect(source: IO[bytes], reference: str, image_id: str = "", title: str = "") -> ImageReport:
    """Read a tar; with `image_id` it comes from the engine, whose blobs bear the digests of their content and can be remembered."""
    name = title or reference or "The tar"
    try:
        contents = _read(source, remember=bool(image_id))
    except requests.RequestException:
        raise
    except saved_tar.DAMAGE as error:
        raise saved_tar.damaged(name, error) from error
    found = saved_tar.chosen(contents.index.images(name), reference, name)
    layers = [contents.layer(path, name) for path in found.layers]
    if image_id:
        disk_cache.remember("image", image_id, {"config": found.config, "layers": found.layers})
    return _report(reference or title or (found.names or ("image",))[0], layers, found.config)


def _report(reference: str, layers: list[Layer], config: dict[str, Any]) -> ImageReport:
    """Layers, oldest first, each with the instruction that made it."""
    steps = [item or {} for item in config.get("history") or []]
    history = [_pretty(item.get("created_by") or "") for item in steps if not item.get("empty_layer")]
    history += ["(not recorded)"] * (len(layers) - len(history))
    # A copy each: one blob may be several layers of an image.
    return ImageReport(reference, [replace(layer, instruction=text) for layer, text in zip(layers, history, strict=False)], config)


@dataclass
class _Contents:
    """What a saved tar holds, in whatever order it came; `broken` tells of members that look like layers and cannot be read."""

    index: saved_tar.Index = field(default_factory=saved_tar.Index)
    layers: dict[str, Layer] = field(default_factory=dict)
    broken: dict[str, BaseException] = field(default_factory=dict)

    def layer(self, path: str, name: str) -> Layer:
        """The layer that the manifest names so. Raises ImageUnreadable."""
        if path in self.broken:
            raise saved_tar.damaged(name, self.broken[path])
        if path not in self.layers:
            raise saved_tar.lacking(name, path)
        return self.layers[path]


def _read(source: IO[bytes], remember: bool) -> _Contents:
    """Read every member as it streams past; with `remember`, a layer whose digest was read before is passed over."""
    contents = _Contents()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 2)) as pool:
        for archive, entry in saved_tar.entries(source):
            content = archive.extractfile(entry) if entry.isreg() else None
            head = content.read(saved_tar.HEAD) if content else b""
            form = saved_tar.packing(head)
            if content is None or not form:
                contents.index.take(entry, head, content)
                continue
            known = disk_cache.recall("layer", entry.name) if remember else None
            try:
                layer = Layer(**known) if known else _read_layer(saved_tar.Joined(head, content), form, pool)
            except requests.RequestException:
                raise
            except saved_tar.DAMAGE as error:  # it matters only where the manifest names it
                contents.broken[entry.name] = error
                continue
            contents.layers[entry.name] = layer
            if remember and not known:
                disk_cache.remember("layer", entry.name, asdict(layer))
    return contents


def _read_layer(raw: IO[bytes], form: str, pool: ThreadPoolExecutor) -> Layer:
    """One layer's tar: its files and both sizes."""
    plain = Gzipped(saved_tar.unpacked(raw, form), pool)
    layer = Layer()
    for _, entry in saved_tar.entries(plain, ended=form == "zstd"):  # whose reader does not tell the end of the data from their being cut
        path = posixpath.normpath(f"/{entry.name}").lstrip("/")
        folder, _, name = path.rpartition("/")
        layer.links.pop(path, None)
        if name == ".wh..wh..opq":
            layer.emptied.append(folder)
        elif name.startswith(".wh."):
            layer.deleted.append(f"{folder}/{name[4:]}".lstrip("/"))
        elif not entry.isdir():
            layer.files[path] = entry.size if entry.isreg() else 0
            if entry.islnk():
                target = posixpath.normpath(f"/{entry.linkname}").lstrip("/")
                layer.links[path] = layer.links.get(target, target)
    layer.disk_bytes, layer.download_bytes = sum(layer.files.values()), plain.compressed_bytes()
    return layer


def _pretty(created_by: str) -> str:
    """A history entry as it stands in the Dockerfile."""
    text = re.sub(r"^/bin/sh -c #\(nop\)\s*", "", created_by)
    text = re.sub(r"^(RUN )?(\|\d+ .*?)?/bin/sh -c ", "RUN ", text)
    text = re.sub(r"\b(file|dir|multi):[0-9a-f]{64} in ", "… ", text)  # the classic builder names a checksum, not the source
    return re.sub(r"\s+", " ", text.replace("# buildkit", "")).strip() or "(base image)"
