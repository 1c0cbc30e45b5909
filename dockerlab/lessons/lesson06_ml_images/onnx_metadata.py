"""A second model without a second training: take the ONNX file out of an image, and give its classes other names.

An ONNX file is one protobuf message, ModelProto (onnx.proto3): field 14, `metadata_props`, holds pairs of key and value, and
Ultralytics writes the class names there under the key `names`. Weights and graph are fields that are not read here; protobuf hands
them on as they are.
"""

from __future__ import annotations

import ast
import io
import tarfile
from collections.abc import Mapping
from functools import cache
from typing import Any

import docker
from docker.errors import ImageNotFound, NotFound
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from dockerlab.core import tars
from dockerlab.core.errors import CourseError
from dockerlab.engine import naming, object_labels

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
    return dict(ast.literal_eval(_names(_parsed(model)).value))


def renamed(model: bytes, names: Mapping[str, str]) -> bytes:
    """The same model with other class names, old -> new; names that are not given stay. Raises NotAModel."""
    message = _parsed(model)
    entry = _names(message)
    entry.value = repr(
        {number: names.get(name, name) for number, name in ast.literal_eval(entry.value).items()}
    )
    changed: bytes = message.SerializeToString()
    return changed


def _parsed(model: bytes) -> Any:
    try:
        return _message().FromString(model)
    except DecodeError as error:
        raise NotAModel(
            "The file is cut short, or no ONNX model.", fix="Copy or download it again."
        ) from error


def _names(message: Any) -> Any:
    """The entry that holds the class names."""
    for entry in message.metadata_props:
        if entry.key == "names":
            return entry
    raise NotAModel("The file holds no class names.", fix="Export it with Ultralytics, `format=onnx`.")


@cache
def _message() -> Any:
    """A class for the one field of ModelProto that is read here (onnx.proto3, StringStringEntryProto)."""
    file = descriptor_pb2.FileDescriptorProto(name="onnx_metadata.proto", package="dockerlab.onnx")
    kind = descriptor_pb2.FieldDescriptorProto
    entry = file.message_type.add(name="Entry")
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    model = file.message_type.add(name="Model")
    model.field.add(
        name="metadata_props",
        number=14,
        type=kind.TYPE_MESSAGE,
        label=kind.LABEL_REPEATED,
        type_name=".dockerlab.onnx.Entry",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("dockerlab.onnx.Model"))
