"""What an image holds and weighs, read from its own tar (`docker save`, or the engine's stream of the same).

Size is two numbers: `disk_bytes` is the sum of the files of all layers, unpacked; `download_bytes` is the sum of the
layers compressed with gzip -6, as a registry would serve them but for a few per cent, since `docker push` packs with
Go's gzip. Both come from the layers' content, so they do not depend on how an engine stores images. Layers are read as
a stream; nothing is unpacked.

How the download is measured stands in gzip_estimate.py. What was read of a layer is remembered by its digest (disk_cache.py), so an
image is read in full once.
"""

from __future__ import annotations

import os
import posixpath
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import docker
import requests
from docker.errors import APIError, ImageNotFound

from dockerlab.core import disk_cache
from dockerlab.engine import connection
from dockerlab.images import saved_tar
from dockerlab.images.gzip_estimate import Gzipped
from dockerlab.images.image_report import ImageReport, Layer
from dockerlab.images.saved_tar import ImageUnreadable

_KEPT = 8
_REMEMBERED: dict[tuple[str, str], ImageReport] = {}
_remembering = threading.Lock()


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
        raise ImageUnreadable(
            f"There is no image {image} on the engine.",
            fix="Build or pull it first; `docker images` lists what is here.",
        ) from error
    except APIError as error:
        raise ImageUnreadable(
            f"The engine does not hand out {image!r}.", f"{error.explanation or error}.", "Check the name."
        ) from error
    except requests.RequestException as error:
        raise ImageUnreadable(
            f"The engine stopped answering while {image} was read.",
            f"{type(error).__name__}.",
            "Run `dockerlab doctor`.",
        ) from error
    return replace(report, reference=image)


def new_layers(before: str, after: str, client: docker.DockerClient) -> list[Layer]:
    """The layers of the image `after` that the image `before` lacks; of those that both have nothing is read. Asks the engine."""
    old, new = (list(client.images.get(each).attrs["RootFS"].get("Layers") or []) for each in (before, after))
    if set(new) <= set(old):
        return []
    return [
        layer for digest, layer in zip(new, inspect(after, client).layers, strict=True) if digest not in old
    ]


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
            raise ImageUnreadable(
                f"{source} cannot be opened.",
                f"{error.strerror or error}.",
                "Save it again with `docker save -o FILE IMAGE`.",
            ) from error
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
    return ImageReport(
        reference,
        [replace(layer, instruction=text) for layer, text in zip(layers, history, strict=False)],
        config,
    )


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


def _read_layer(raw: saved_tar.Joined, form: str, pool: ThreadPoolExecutor) -> Layer:
    """One layer's tar: its files and both sizes."""
    plain = Gzipped(saved_tar.unpacked(raw, form), pool)
    layer = Layer()
    for _, entry in saved_tar.entries(
        plain, ended=form == "zstd"
    ):  # whose reader does not tell the end of the data from their being cut
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
    text = re.sub(
        r"\b(file|dir|multi):[0-9a-f]{64} in ", "… ", text
    )  # the classic builder names a checksum, not the source
    return re.sub(r"\s+", " ", text.replace("# buildkit", "")).strip() or "(base image)"
