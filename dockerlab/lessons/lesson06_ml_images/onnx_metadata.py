"""A second model without a second training: take the ONNX file out of an image, and give its classes other names.

An ONNX file is one protobuf message, ModelProto (onnx.proto): field 14, `metadata_props`, holds pairs of key and value, and
Ultralytics writes the class names there under the key `names`. Weights and graph are carried over byte for byte.
"""

from __future__ import annotations

import ast
import io
import tarfile
from collections.abc import Iterator, Mapping

import docker
from docker.errors import ImageNotFound, NotFound

from dockerlab.core import tars
from dockerlab.core.errors import CourseError
from dockerlab.engine import naming, object_labels

METADATA = 14
PATH = "/app/model/harbour-n.onnx"


class NotAModel(CourseError):
    """The bytes are no ONNX file with class names."""


def from_image(client: docker.DockerClient, tag: str = "dockerlab-api:multistage", path: str = PATH) -> bytes:
    """One file of an image, as `docker cp` would fetch it from a container that never runs. Asks the engine."""
    tag = naming.own(tag)
    try:
        container = client.containers.create(tag, ["none"], labels=object_labels.labels(kind="container"))
    except ImageNotFound as error:
        raise CourseError(
            f"There is no image {tag} on the engine.", fix="Lesson 05 builds it, and so does `make ladder`."
        ) from error
    try:
        chunks, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = next(entry for entry in archive if entry.isreg())
            return tars.content(archive, member)
    except NotFound as error:
        raise CourseError(f"{tag} holds no {path}.", fix="Build it anew: lesson 05, section 3.") from error
    finally:
        container.remove(force=True, v=True)


def class_names(model: bytes) -> dict[int, str]:
    """Class number -> name, as Ultralytics wrote them. Raises NotAModel."""
    for field, content, _ in _fields(model):
        if field == METADATA and content is not None:
            pair = _pair(content)
            if pair.get(1) == b"names":
                return dict(ast.literal_eval(pair[2].decode()))
    raise NotAModel("The file holds no class names.", fix="Export it with Ultralytics, `format=onnx`.")


def renamed(model: bytes, names: Mapping[str, str]) -> bytes:
    """The same model with other class names, old -> new; names that are not given stay. Raises NotAModel."""
    text = repr({number: names.get(name, name) for number, name in class_names(model).items()}).encode()
    parts = []
    for field, content, raw in _fields(model):
        if field == METADATA and content is not None and _pair(content).get(1) == b"names":
            entry = _text(1, b"names") + _text(2, text)
            raw = _text(METADATA, entry)
        parts.append(raw)
    return b"".join(parts)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Number, content (of length-delimited fields, else None) and raw bytes of every field of a protobuf message."""
    position = 0
    while position < len(message):
        begin = position
        key, position = _number(message, position)
        kind, content = key & 7, None
        if kind == 2:
            length, position = _number(message, position)
            content = message[position : position + length]
            position += length
        elif kind == 0:
            _, position = _number(message, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise NotAModel(
                "The file is no ONNX model.",
                f"Byte {begin} begins no protobuf field.",
                "Check that it was copied whole.",
            )
        if position > len(message):
            raise NotAModel("The file is cut short.", fix="Copy or download it again.")
        yield key >> 3, content, message[begin:position]


def _pair(entry: bytes) -> dict[int, bytes]:
    return {field: content for field, content, _ in _fields(entry) if content is not None}


def _number(message: bytes, position: int) -> tuple[int, int]:
    """A varint and the position after it (protobuf encoding guide)."""
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise NotAModel("The file is cut short, or no ONNX model.", fix="Copy or download it again.")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def _text(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)
