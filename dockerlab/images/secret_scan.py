"""Does an image hold a secret? Every place that its readers have is searched for the value, as it streams past and in bounded memory.

Searched are history and configuration (environment, labels and all other fields, decoded from JSON), what lies beside the image (BuildKit's
provenance, annotations, in base64 too), and of every layer the names of files, targets of links, extended attributes and contents: as
UTF-8, as UTF-16, as JSON writes it, and inside a file that is packed with gzip, zstd, bzip2 or xz. Not searched: archives that pack their
members one by one (zip, and so wheels and jars), what a packed file holds beyond its first GiB, other encodings of a file's content such
as base64, and anything encrypted.
"""

from __future__ import annotations

import base64
import binascii
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import docker
import requests
from docker.models.images import Image

from dockerlab.images import saved_tar

_MOST_UNPACKED = 1 << 30  # bytes of a packed file, which may be made to unpack for ever


def find(image: str, secret: str, client: docker.DockerClient, below: Sequence[str] = ()) -> list[str]:
    """Where `secret` stands in an image: "history", "configuration", "attestation" or "layer N: path" (0 is the oldest). Asks the engine.

    A file that a later layer deletes is found as well: whoever pulls the image has its layer. Layers that the image shares with one of
    the images `below` are passed over, since these are known to hold nothing. Raises ImageUnreadable.
    """
    found = client.images.get(image)
    layers = _layers(found)
    if not layers:
        return list(_Search(secret).in_configuration(saved_tar.bare(found)))
    known = max((_shared(layers, _layers(client.images.get(each))) for each in below), default=0)
    skip = {digest.rpartition(":")[2] for digest in layers[:known] if digest not in layers[known:]}
    with saved_tar.exported(str(found.id), client) as stream:
        return find_in_tar(stream, secret, known, frozenset(skip))


def find_in_tar(
    file: IO[bytes], secret: str, first: int = 0, skip: frozenset[str] = frozenset()
) -> list[str]:
    """The same in a tar that `docker save` wrote, from layer `first` on; several images are all searched, and named. Raises ImageUnreadable.

    `skip` are digests of layers below `first`: where a member bears one as its name, it need not be read.
    """
    if not secret:
        raise ValueError("an empty secret is everywhere")
    search = _Search(secret)
    try:
        for archive, entry in saved_tar.entries(file):
            if entry.name.rpartition("/")[2] not in skip:
                search.take(archive, entry)
    except requests.RequestException:
        raise
    except saved_tar.DAMAGE as error:
        raise saved_tar.damaged("The tar", error) from error
    return search.places(first)


class _Needle:
    """A secret in all the ways in which it is looked for."""

    def __init__(self, secret: str) -> None:
        self.text = secret
        written = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        forms = {each.encode(errors="surrogateescape") for each in written}
        self._forms = forms | {secret.encode(each, "surrogatepass") for each in ("utf-16-le", "utf-16-be")}
        self._overlap = max(map(len, self._forms)) - 1

    def within(self, data: bytes) -> bool:
        """Whether it is in these bytes."""
        return any(form in data for form in self._forms)

    def tail(self, data: bytes) -> bytes:
        """As many of the last bytes as a secret may begin in that goes on in the next block."""
        return data[-self._overlap :] if self._overlap else b""

    def in_stream(self, stream: saved_tar.Readable, most: int | None = None) -> bool:
        """Whether it is in what is left of a stream, of which `most` bytes are read."""
        before, left = b"", most
        while (left is None or left > 0) and (block := stream.read(saved_tar.BLOCK)):
            if self.within(before + block):
                return True
            before = self.tail(before + block)
            left = None if left is None else left - len(block)
        return False

    def in_value(self, value: Any) -> bool:
        """Whether it is in any text of a JSON document, as a key too, or in what a text holds in base64."""
        if isinstance(value, dict):
            return any(self.in_value(each) for pair in value.items() for each in pair)
        if isinstance(value, list):
            return any(map(self.in_value, value))
        return isinstance(value, str) and (
            self.within(value.encode(errors="surrogatepass")) or self.within(_base64(value))
        )


class _Search:
    """One pass over a saved tar."""

    def __init__(self, secret: str) -> None:
        self._needle = _Needle(secret)
        self._index = saved_tar.Index()
        self._files: dict[
            str, list[str]
        ] = {}  # of each member that is a layer: the paths with the secret in them
        self._broken: dict[str, BaseException] = {}
        self._others: dict[str, bool] = {}  # members that are neither layers nor documents

    def take(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        """Search a member, whatever the manifest will say that it is."""
        content = archive.extractfile(entry) if entry.isreg() else None
        head = content.read(saved_tar.HEAD) if content else b""
        form = saved_tar.packing(head)
        if content is None or not form:
            self._index.take(entry, head, content)
            if content is not None and entry.name not in self._index.documents:
                self._others[entry.name] = self._needle.in_stream(saved_tar.Joined(head, content))
            return
        plain = saved_tar.unpacked(saved_tar.Joined(head, content), form)
        try:
            inside = saved_tar.entries(plain, ended=form == "zstd")
            self._files[entry.name] = [
                f"/{each.name.removeprefix('./').lstrip('/')}"
                for layer, each in inside
                if self._in_entry(layer, each)
            ]
        except requests.RequestException:
            raise
        except saved_tar.DAMAGE as error:  # it matters only where the manifest names it
            self._broken[entry.name] = error

    def places(self, first: int) -> list[str]:
        """Where it stands, once all members are there. Raises ImageUnreadable."""
        images = self._index.images("The tar")
        places = []
        for each in images:
            title = f"{(each.names or ('image',))[0]}: " if len(images) > 1 else ""
            places += [f"{title}{place}" for place in self._of_image(each, first)]
        told = {each.config_path for each in images}
        places += (
            place
            for name, text in self._index.documents.items()
            if name not in told and (place := self._beside(name, text))
        )
        return list(dict.fromkeys([*places, *(name for name, there in self._others.items() if there)]))

    def _of_image(self, image: saved_tar.SavedImage, first: int) -> Iterator[str]:
        yield from self.in_configuration(image.config)
        for number, path in enumerate(image.layers):
            if number < first:
                continue
            if path in self._broken:
                raise saved_tar.damaged("The tar", self._broken[path])
            if path not in self._files:
                raise saved_tar.lacking("The tar", path)
            yield from (f"layer {number}: {file}" for file in self._files[path])

    def in_configuration(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Which parts of an image's configuration it is in."""
        if self._needle.in_value(config.get("history")):
            yield "history"
        if self._needle.in_value({name: value for name, value in config.items() if name != "history"}):
            yield "configuration"

    def _beside(self, name: str, text: bytes) -> str:
        """What a reader calls a document beside the image, "" where the secret is not in it."""
        try:
            document = json.loads(text)
        except ValueError:
            return name if self._needle.within(text) else ""
        if not self._needle.in_value(document) and not self._needle.within(text):
            return ""
        if isinstance(document, dict) and "predicateType" in document:
            return "attestation"
        # Docker still writes the older format's file for each layer, which repeats the configuration.
        return (
            "configuration" if isinstance(document, dict) and {"created", "os"} <= document.keys() else name
        )

    def _in_entry(self, layer: tarfile.TarFile, entry: tarfile.TarInfo) -> bool:
        """Whether it is in a file, or in what its header says: name, target, owner, extended attributes."""
        said = (entry.name, entry.linkname, entry.uname, entry.gname, *map(str, entry.pax_headers.values()))
        if any(self._needle.text in each for each in said):
            return True
        content = layer.extractfile(entry) if entry.isreg() else None
        return content is not None and self._in_file(content)

    def _in_file(self, content: IO[bytes]) -> bool:
        """Whether it is in a file as it is, or in what that is once unpacked."""
        head = content.read(saved_tar.HEAD)
        form = saved_tar.packing(head)
        if form in ("", "tar"):
            return self._needle.in_stream(saved_tar.Joined(head, content))
        raw = _Watched(head, content, self._needle)
        try:
            inside = self._needle.in_stream(saved_tar.unpacked(raw, form), most=_MOST_UNPACKED)
        except requests.RequestException:
            raise
        except saved_tar.DAMAGE:  # it only looks packed, or is damaged: no fault of the image
            inside = False
        while raw.read(saved_tar.BLOCK):
            pass
        return inside or raw.found


class _Watched(saved_tar.Joined):
    """A packed stream on its way to be unpacked, whose own bytes are searched as they pass."""

    def __init__(self, head: bytes, rest: IO[bytes], needle: _Needle) -> None:
        super().__init__(head, rest)
        self._needle, self._before, self.found = needle, b"", False

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block = super().read(size)
        self.found = self.found or self._needle.within(self._before + block)
        self._before = self._needle.tail(self._before + block)
        return block


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _layers(image: Image) -> list[str]:
    return (image.attrs.get("RootFS") or {}).get("Layers") or []


def _shared(layers: Sequence[str], others: Sequence[str]) -> int:
    """How many layers, from the oldest on, two images have in common; 0 where the second has more besides."""
    return len(others) if list(layers[: len(others)]) == list(others) else 0
