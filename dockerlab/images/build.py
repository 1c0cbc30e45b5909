"""Build an image and report every step: BuildKit over the Engine API, without any command line; or the classic builder.

Where .dockerignore lists the Dockerfile, the build goes by the docker command (buildx.py), since a tar cannot keep it from COPY.

Protocol: `POST /build?version=2` (Docker Engine API, ImageBuild) takes the context as a tar and answers a JSON stream;
entries with the id `moby.buildkit.trace` hold a protobuf StatusResponse (see buildkit.proto), the last one the image.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import docker
import requests
from docker.errors import APIError
from docker.types import CancellableStream

from dockerlab.core.errors import CourseError
from dockerlab.engine import connection, endpoint, naming, object_labels, ownership
from dockerlab.images import build_causes, buildx
from dockerlab.images.build_context import MAX_CONTEXT_BYTES, check_size, files_sent, packed
from dockerlab.images.build_errors import BuildCancelled, BuildFailed, EngineStopped
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.build_trace import SHUTDOWN, TRACES, Trace, entries, failure, message


class Cancel:
    """Hand it to `build` and call `request()` from another thread: the engine ends that build, and `build` raises BuildCancelled."""

    def __init__(self) -> None:
        self.requested = False
        self._end: Callable[[], None] | None = None

    def request(self) -> None:
        """Close the connection of the build, now or as soon as it is there; the engine then ends the build."""
        self.requested = True
        if self._end is not None:
            with contextlib.suppress(OSError):
                self._end()

    def attach(self, end: Callable[[], None]) -> None:
        """Say what ends the build: called on a request, or at once where there was one."""
        self._end = end
        if self.requested:
            self.request()

    def watch(self, chunks: Iterator[bytes], response: requests.Response) -> CancellableStream:
        """The same chunks, which end when the build is cancelled."""
        stream = CancellableStream(chunks, response)
        self.attach(stream.close)
        return stream


def build(
    context: Path | str,
    *,
    dockerfile: str = "Dockerfile",
    tag: str | None = None,
    buildargs: Mapping[str, str] | None = None,
    target: str | None = None,
    no_cache: bool = False,
    labels: Mapping[str, str] | None = None,
    on_step: Callable[[Step], None] | None = None,
    backend: str = "buildkit",
    client: docker.DockerClient | None = None,
    max_context_bytes: int = MAX_CONTEXT_BYTES,
    network: str | None = None,
    cancel: Cancel | None = None,
) -> BuildReport:
    """Build `context` and return the report; `on_step` is called whenever a step starts, ends or is found in the cache.

    `backend` is "buildkit" or "classic"; `network` is the network of RUN steps ("none", "host"), the engine's default where None.
    An interrupt, or `cancel.request()` from another thread, closes the connection, and the engine stops the build.
    Raises BuildFailed, ContextTooLarge, BuildCancelled or EngineStopped.
    """
    if backend not in TRACES:
        raise CourseError(f"There is no back end {backend!r}.", fix=f"Use one of: {', '.join(TRACES)}.")
    client, folder = client or connection.connect(timeout=1800), Path(context)
    if not (folder / dockerfile).is_file():
        raise BuildFailed(
            f"There is no {dockerfile} in {folder}.", fix="Create it, or name another with `dockerfile=`."
        )
    names, tag = files_sent(folder, dockerfile), naming.own(tag) if tag else None
    size = check_size(folder, names, max_context_bytes)
    # As the docker command does: proxies reach RUN, stay out of the image, and are left out of the cache key.
    arguments = endpoint.proxies(endpoint.address_of(client)) | {
        key: naming.own(str(value)) for key, value in (buildargs or {}).items()
    }
    marks = object_labels.image_labels(tag or "") | object_labels.for_image(labels or {})
    query = {
        "version": "2" if backend == "buildkit" else "1",
        "dockerfile": dockerfile,
        "buildargs": json.dumps(arguments),
        "labels": json.dumps(marks),
        "rm": "1",
        "forcerm": "1",
    }
    # The engine may come to the end of a build in the moment in which it is cancelled: then the name is not given.
    query |= {
        key: value
        for key, value in (("t", None if cancel else tag), ("target", target), ("networkmode", network))
        if value
    }
    query |= {"nocache": "1"} if no_cache else {}
    named = {"tag": object_labels.full_tag(tag) if tag else "", "kind": marks[object_labels.KIND_LABEL]}
    ownership.note(client, **named)  # before it is there: whoever is killed meanwhile cannot note it any more
    started = datetime.now(UTC)
    try:
        if backend == "buildkit" and dockerfile not in names and buildx.available():
            trace = buildx.run(client, folder, dockerfile, query, Trace(on_step), cancel)
        else:
            with packed(folder, names, dockerfile, backend) as archive:
                trace = _post(client, archive, query, TRACES[backend](on_step), cancel)
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        if cancel and cancel.requested:
            raise _cancelled() from error
        raise _stopped(type(error).__name__) from error
    if cancel and cancel.requested and not trace.image_id:
        raise _cancelled()
    if trace.error and not trace.failed() and re.search(SHUTDOWN, trace.error):
        raise _stopped(trace.error.strip().rstrip("."))
    if trace.error:
        raise failure(trace, folder / dockerfile, arguments)
    if not trace.image_id:
        raise _stopped("its answer ended without an image")
    if cancel and tag:
        _name(client, trace.image_id, tag, cancel)
    ownership.note(client, id=trace.image_id, **named)
    seconds = (datetime.now(UTC) - started).total_seconds()
    return BuildReport(trace.image_id, tag, trace.steps(), seconds, size, trace.began)


def _post(
    client: docker.DockerClient,
    archive: IO[bytes],
    query: dict[str, str],
    trace: Trace,
    cancel: Cancel | None,
) -> Trace:
    """Send the context and feed the answer to `trace`; leaving early, by an interrupt too, closes the connection."""
    api = client.api
    response = api.post(
        f"{api.base_url}/v{api.api_version}/build",
        params=query,
        data=archive,
        stream=True,
        headers={"Content-Type": "application/x-tar"},
        timeout=None,
    )
    with response:
        if not response.ok:
            said = message(response.content)
            raise BuildFailed(f"The engine refused the build: {said}.", *build_causes.of(None, said))
        chunks = response.iter_content(None)
        for entry in entries(cancel.watch(chunks, response) if cancel else chunks):
            trace.add(entry)
    return trace


def _name(client: docker.DockerClient, image_id: str, tag: str, cancel: Cancel) -> None:
    """Give the image its tag, unless the build was cancelled while it ended. Asks the engine."""
    if cancel.requested:
        with contextlib.suppress(APIError):
            if not client.api.inspect_image(image_id)[
                "RepoTags"
            ]:  # a build from the cache may have made what is there already
                client.api.remove_image(image_id)
        raise _cancelled()
    client.api.tag(image_id, tag)


def _cancelled() -> BuildCancelled:
    return BuildCancelled(
        "The build was cancelled.", fix="Build again when you like: finished steps are in the cache."
    )


def _stopped(reason: str) -> EngineStopped:
    return EngineStopped(
        "The engine stopped answering during the build.",
        f"{reason}.",
        "Run `make engine`, then build again: finished steps are in the cache.",
    )
