"""What `docker save` writes, member by member, as it streams past: layers in any packing, documents, links, and what manifest.json names.

A layer is known by what manifest.json names, not by its first bytes; but the manifest comes last, so whoever reads the stream looks at
every member and asks `Index` at the end which of them counts. Formats: the OCI image layout (Docker 25 and later), the older one with a
folder for each layer, and the docker-archive of other programs.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import docker
import zstandard
from docker.models.images import Image

from dockerlab.core.errors import CourseError

BLOCK = 1 << 20
HEAD = 512  # bytes that tell how a member is packed
_LONGEST_DOCUMENT = 32 << 20
# What reading something damaged may raise.
DAMAGE = (tarfile.TarError, ValueError, EOFError, OSError, zlib.error, zstandard.ZstdError, lzma.LZMAError)


class Readable(Protocol):
    """A stream that is read from front to back: no more is asked of it here."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, b"" at the end."""


class ImageUnreadable(CourseError):
    """The image is not there, or its tar is damaged."""


# Typeshed does not know all of tarfile that is used below: two errors, `nti` and `calc_chksums`.
class _Strict(tarfile.TarInfo):
    """A header; one that is cut short or garbled is damage, where tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Strict:
        try:
            return super().fromtarfile(tarfile_)
        except (
            tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
            tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
        ) as error:
            raise tarfile.ReadError(f"a header is damaged: {error}") from error


def entries(plain: Readable, ended: bool = False) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Each entry of a tar that is read once, from front to back, with the archive to extract it from. Raises what DAMAGE lists.

    As Go's archive/tar has it, the archive ends with two blocks of zeros or with the stream; with `ended` the blocks must be there.
    """
    # Typeshed has tarfile write and seek as well, which it does not for "r|", and does not know `members` and `fileobj`.
    with tarfile.open(fileobj=plain, mode="r|", bufsize=BLOCK, tarinfo=_Strict) as archive:  # type: ignore[call-overload]
        for entry in archive:
            yield archive, entry
            archive.members = []  # else it keeps every header
        ends = archive.fileobj.tell() > archive.offset  # a block of zeros was read, not just nothing
        if ended and not ends or archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("it is cut short, or something follows its end")
    while plain.read(BLOCK):  # the check sums behind it, and what a measured stream is measured for
        pass


def packing(head: bytes) -> str:
    """How a stream that begins so is packed: gzip, zstd, bzip2, xz, tar (of any age, or empty), "" for anything else."""
    if (
        head.startswith(b"\x28\xb5\x2f\xfd") or head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5
    ):  # a frame, or one to be skipped
        return "zstd"
    for name, magic in (("gzip", b"\x1f\x8b"), ("bzip2", b"BZh"), ("xz", b"\xfd7zXZ\0")):
        if head.startswith(magic):
            return name
    if not head.strip(b"\0"):
        return "tar"
    try:
        whole = len(head) == HEAD and tarfile.nti(head[148:156]) in tarfile.calc_chksums(head)  # type: ignore[attr-defined]
    except tarfile.HeaderError:
        return ""
    return "tar" if whole else ""


def unpacked(raw: Joined, form: str) -> Readable:
    """A stream as it was before it was packed."""
    # The stubs of zstandard and lzma ask for all of IO[bytes], of which they need nothing but `read`.
    if form == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)  # type: ignore[arg-type]
    openers: dict[str, Callable[[Joined], Readable]] = {
        "gzip": gzip.open,
        "bzip2": bz2.open,
        "xz": lzma.open,  # type: ignore[dict-item]
    }
    return openers[form](raw) if form in openers else raw


class Joined(io.RawIOBase):
    """The first bytes of a stream, already read, and the rest."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._rest, self._buffer = rest, head

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes; all that are left where `size` is negative."""
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


@contextmanager
def exported(image_id: str, client: docker.DockerClient) -> Iterator[IO[bytes]]:
    """The stream of an image as `docker save` has it. By id, since a bare name would save every tag of it. Asks the engine."""
    stream = client.api.get_image(image_id, chunk_size=BLOCK)
    try:
        yield io.BufferedReader(_Chunks(stream), BLOCK)
    finally:
        stream.close()


def bare(image: Image) -> dict[str, Any]:
    """The configuration of an image without layers, which an engine with Docker's own image store cannot export. Asks the engine."""
    history = [
        {"created_by": each.get("CreatedBy"), "comment": each.get("Comment"), "empty_layer": True}
        for each in reversed(image.history())
    ]
    return {
        "architecture": image.attrs.get("Architecture"),
        "config": image.attrs.get("Config"),
        "history": history,
    }


@dataclass(frozen=True)
class SavedImage:
    """One image of a saved tar: its names, its configuration and the member it is in, and the members that hold its layers, oldest first."""

    names: tuple[str, ...]
    config: dict[str, Any]
    config_path: str
    layers: tuple[str, ...]


@dataclass
class Index:
    """What the members of a tar that are no layers say."""

    documents: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def take(self, entry: tarfile.TarInfo, head: bytes, rest: IO[bytes] | None) -> None:
        """Note a link, or a document that may matter."""
        if entry.issym():
            self.links[entry.name] = posixpath.normpath(
                posixpath.join(posixpath.dirname(entry.name), entry.linkname)
            )
        elif entry.islnk():
            self.links[entry.name] = entry.linkname
        elif (
            rest is not None
            and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b"n")
            and entry.size < _LONGEST_DOCUMENT
        ):
            self.documents[entry.name] = head + rest.read()

    def member(self, path: str) -> str:
        """The member that a path leads to, over links to links; the path itself where they go round in a circle."""
        target, seen = path, set()
        while target in self.links and target not in seen:
            seen.add(target)
            target = self.links[target]
        return path if target in seen else target

    def images(self, name: str) -> list[SavedImage]:
        """What manifest.json lists; `name` is what the tar is called in an error. Raises ImageUnreadable."""
        manifest = self._json("manifest.json")
        found = [each for each in manifest if isinstance(each, dict)] if isinstance(manifest, list) else []
        if not found:
            raise ImageUnreadable(
                f"{name} holds no manifest.json that names an image.",
                fix="Save it again with `docker save -o FILE IMAGE`.",
            )
        return [self._image(each, name) for each in found]

    def _image(self, entry: dict[str, Any], name: str) -> SavedImage:
        path = self.member(str(entry.get("Config")))
        config = self._json(path)
        if not isinstance(config, dict):
            raise lacking(name, "its configuration")
        return SavedImage(
            tuple(entry.get("RepoTags") or ()),
            config,
            path,
            tuple(map(self.member, entry.get("Layers") or ())),
        )

    def _json(self, path: str) -> Any:
        try:
            return json.loads(self.documents[path])
        except (KeyError, ValueError):
            return None


def chosen(images: list[SavedImage], wanted: str, name: str) -> SavedImage:
    """The image of a tar: the only one, or the one that bears the name `wanted`. Raises ImageUnreadable, which names them all."""
    named = [each for each in images if wanted in each.names or f"{wanted}:latest" in each.names]
    if named or len(images) == 1:
        return (named or images)[0]
    names = ", ".join(each.names[0] if each.names else "one without a name" for each in images)
    raise ImageUnreadable(
        f"{name} holds {len(images)} images: {names}.",
        "Each has layers of its own.",
        "Say which by its name.",
    )


def lacking(name: str, part: str) -> ImageUnreadable:
    """The error for a tar in which something is missing."""
    return ImageUnreadable(
        f"{name} lacks {part}.",
        "The tar is cut short or of several parts, or the layer is in a form that Docker does not write.",
        "Save it again with `docker save -o FILE IMAGE`.",
    )


def damaged(name: str, error: BaseException) -> ImageUnreadable:
    """The error for a tar, or a layer of it, that cannot be read to its end."""
    return ImageUnreadable(
        f"{name} is no image that `docker save` wrote.",
        f"{str(error).rstrip('.') or type(error).__name__}.",
        "Save it again with `docker save`.",
    )
