"""A build by `docker buildx build` where the Engine API has no way: the Dockerfile is to be read, and is not part of the context.

What a tar that is posted to the engine holds, COPY can take; only a session, which the docker command opens, hands the Dockerfile over by
itself. The steps are the same, since `--progress rawjson` prints what the API calls a trace (moby/buildkit, client.SolveStatus).
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
from google.protobuf import json_format

from dockerlab.engine import connection, process_marks
from dockerlab.images import buildkit_pb2 as pb
from dockerlab.images.dockerfile import sent

if TYPE_CHECKING:
    from dockerlab.images.build import Cancel
    from dockerlab.images.build_trace import Trace

_FLAGS = {
    "t": "--tag",
    "target": "--target",
    "networkmode": "--network",
}  # parameters of the API that are one flag each
_LISTS = {"buildargs": "--build-arg", "labels": "--label"}
_STOP_SECONDS = 20


def available() -> bool:
    """Whether the docker command is here and has buildx."""
    return connection.plugin_version("buildx") is not None


def run(
    client: docker.DockerClient,
    folder: Path,
    dockerfile: str,
    query: Mapping[str, str],
    trace: Trace,
    cancel: Cancel | None,
) -> Trace:
    """Build `folder` on the client's engine; `query` are the API's parameters. Feeds `trace` and gives it the image's id, or the error."""
    with process_marks.folder("build") as scratch:
        id_file = Path(scratch) / "id"
        command = [
            "docker",
            *_connection(client),
            "buildx",
            "build",
            "--builder",
            "default",
            "--progress",
            "rawjson",
            "--provenance",
            "false",
            "--iidfile",
            str(id_file),
            "--file",
            str(_with_own_names(folder / dockerfile, Path(scratch))),
            *_flags(query),
            str(folder),
        ]
        with _running(command) as process:
            if cancel:
                cancel.attach(process.terminate)
            rest = [line for line in map(_line, process.stderr or ()) if not _taken(line, trace)]
        if process.returncode:
            trace.error = (
                _reason("\n".join(rest)) or f"docker buildx ended with exit code {process.returncode}"
            )
        elif id_file.is_file():
            trace.image_id = id_file.read_text().strip()
    return trace


def _with_own_names(dockerfile: Path, scratch: Path) -> Path:
    """The Dockerfile, or where it holds names that are not this learner's a copy that does, with its ignore rules beside it."""
    if (text := sent(dockerfile)) == dockerfile.read_bytes():
        return dockerfile
    (copy := scratch / dockerfile.name).write_bytes(text)
    if (rules := dockerfile.with_name(f"{dockerfile.name}.dockerignore")).is_file():
        shutil.copy(rules, scratch)
    return copy


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a session of its own, so that Ctrl-C reaches us first; it ends with the block, and with it the build."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stderr:
            process.stderr.close()


def _connection(client: docker.DockerClient) -> list[str]:
    """The flags that make the docker command use the client's engine."""
    adapter = client.api.get_adapter(client.api.base_url)
    if path := getattr(adapter, "socket_path", ""):
        return ["--host", f"unix://{path}"]
    if host := getattr(adapter, "ssh_host", ""):
        return ["--host", host if host.startswith("ssh://") else f"ssh://{host}"]
    flags = ["--host", re.sub(r"^https?://", "tcp://", client.api.base_url)]
    if client.api.base_url.startswith("https:"):
        verify, (certificate, key) = client.api.verify, client.api.cert or ("", "")
        flags += ["--tlsverify" if verify else "--tls"]
        flags += [
            part
            for flag, file in (("--tlscacert", verify), ("--tlscert", certificate), ("--tlskey", key))
            if isinstance(file, str) and file
            for part in (flag, file)
        ]
    return flags


def _flags(query: Mapping[str, str]) -> list[str]:
    """Parameters of the API's ImageBuild as flags; those that say what buildx does anyway are left out."""
    flags = [part for name, flag in _FLAGS.items() if name in query for part in (flag, query[name])]
    flags += [
        part
        for name, flag in _LISTS.items()
        for key, value in json.loads(query.get(name) or "{}").items()
        for part in (flag, f"{key}={value}")
    ]
    return [*flags, *(["--no-cache"] if query.get("nocache") else [])]


def _line(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")


def _taken(line: str, trace: Trace) -> bool:
    """Whether a line is part of the trace; if so, it has been added."""
    try:
        document = json.loads(line) if line.startswith("{") else None
    except ValueError:
        return False
    if not isinstance(document, dict):
        return False
    trace.take(_status(document))
    return True


def _status(document: Mapping[str, Any]) -> pb.StatusResponse:
    status = pb.StatusResponse()
    for vertex in document.get("vertexes") or []:
        json_format.ParseDict(vertex, status.vertexes.add(), ignore_unknown_fields=True)
    for log in document.get("logs") or []:
        status.logs.add(vertex=log["vertex"], msg=base64.b64decode(log.get("data") or ""))
    return status


def _reason(text: str) -> str:
    """What the docker command gives as the error, without its own prefixes."""
    said = text[text.rfind("\nERROR: ") + 1 :] if "\nERROR: " in text else text
    return re.sub(r"^ERROR: (failed to build: )?(failed to solve: )?", "", said.strip())
