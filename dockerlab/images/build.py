"""Build an image and report every step: BuildKit over the Engine API, without any command line; or the classic builder.

Where .dockerignore lists the Dockerfile, the build goes by the docker command (buildx.py), since a tar cannot keep it from COPY.

Protocol: `POST /build?version=2` (Docker Engine API, ImageBuild) takes the context as a tar and answers a JSON stream;
entries with the id `moby.buildkit.trace` hold a protobuf StatusResponse (see buildkit.proto), the last one the image.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import docker
import pandas as pd
import requests
from docker.errors import APIError
from docker.types import CancellableStream

from dockerlab.core.errors import CourseError
from dockerlab.core.markup import printable
from dockerlab.engine import connection, naming, ownership
from dockerlab.images import build_causes, build_plan, buildx
from dockerlab.images import buildkit_pb2 as pb
from dockerlab.images.dockerfile import Dockerfile, parse, read, sent
from dockerlab.images.ignore_rules import BadPattern, IgnoreRules

MAX_CONTEXT_BYTES = 500_000_000
_HOUSEKEEPING = ("[internal]", "exporting to", "importing cache", "resolve image config", "docker-image://", "preparing build cache")

_OWN = ("[internal] load remote build context", "[internal] load build definition")
_PLACE = re.compile(r"\[\s*(?:(?P<stage>\S+)\s+)?(?P<number>\d+)/\d+\]")  # numbers below 10 are padded where there are more


class BuildFailed(CourseError):
    """A step of the build failed, or the Dockerfile cannot be read."""


class ContextTooLarge(CourseError):
    """The build context is larger than anyone means to send."""


class EngineStopped(CourseError):
    """The engine went away during the build."""


class BuildCancelled(CourseError):
    """Somebody asked for the end of this build."""


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

    def watch(self, chunks: Iterator[bytes], response: requests.Response) -> Iterator[bytes]:
        """The same chunks, which end when the build is cancelled."""
        stream = CancellableStream(chunks, response)
        self.attach(stream.close)
        return stream


@dataclass
class Step:
    """One vertex of the build graph. Times in seconds from the first step's start."""

    name: str
    digest: str = ""
    inputs: tuple[str, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    cached: bool = False
    done: bool = False
    log: str = ""
    error: str = ""

    @property
    def stage(self) -> str:
        """The stage it belongs to, "" where the Dockerfile names none."""
        match = _PLACE.match(self.name)
        return (match["stage"] or "") if match else ""

    @property
    def number(self) -> int:
        """Its place in its stage, as BuildKit counts: the 3 of "[3/7] COPY app app"; 0 where it has none."""
        match = _PLACE.match(self.name)
        return int(match["number"]) if match else 0

    @property
    def internal(self) -> bool:
        """Whether it is the builder's own housekeeping rather than an instruction of the Dockerfile."""
        return self.name.startswith(_HOUSEKEEPING) or not self.name.startswith(("[", "Step"))

    @property
    def keyword(self) -> str:
        """The instruction's first word in capitals, "" where the step is none; of a trigger that of the instruction behind ONBUILD."""
        words = self.name.partition("] ")[2].removeprefix("ONBUILD ").split()
        return words[0].upper() if words and not self.internal else ""

    def line(self) -> str:
        """`cached` or its seconds, and its name."""
        return f"{'cached' if self.cached else f'{self.seconds:5.1f} s':>7}  {self.name}"


@dataclass(repr=False)
class BuildReport:
    """What a build did. `seconds` is from sending the context until the image was there.

    `began` is when its first step did, in seconds since 1970 by the engine's clock; 0 where the builder gives no times.
    """

    image_id: str
    tag: str | None
    steps: list[Step] = field(default_factory=list)
    seconds: float = 0.0
    context_bytes: int = 0
    began: float = 0.0

    @property
    def instructions(self) -> list[Step]:
        """The steps that stand in the Dockerfile, without the FROM lines, which do nothing once the base is here.

        In the order they started; within a stage in that of the Dockerfile, since cached steps are found in any order.
        """
        steps = _once([step for step in self.steps if not step.internal and "] FROM " not in step.name])
        stages: dict[str, list[Step]] = {}
        for step in steps:
            stages.setdefault(step.stage, []).append(step)
        following = {stage: iter(sorted(each, key=lambda step: step.number)) for stage, each in stages.items()}
        return [next(following[step.stage]) for step in steps]

    @property
    def ran(self) -> list[str]:
        """Names of the instructions that were carried out."""
        return [step.name for step in self.instructions if not step.cached]

    @property
    def cached(self) -> list[str]:
        """Names of the instructions whose result came from the cache."""
        return [step.name for step in self.instructions if step.cached]

    def frame(self) -> pd.DataFrame:
        """One row an instruction: step, stage, seconds, cached."""
        rows = [(step.name, step.stage, round(step.seconds, 2), step.cached) for step in self.instructions]
        return pd.DataFrame(rows, columns=["step", "stage", "seconds", "cached"])

    def text(self) -> str:
        """One line an instruction."""
        return "\n".join(step.line() for step in self.instructions)

    def __repr__(self) -> str:
        return f"BuildReport({self.tag}: {len(self.instructions)} steps)"


def _once(steps: list[Step]) -> list[Step]:
    """Each instruction once: without the download that an ADD of a URL begins with, and without the merge that ends a COPY --link."""
    kept = {}
    for step in steps:
        if "] LINK " not in step.name:
            key = step.name if step.keyword == "ADD" else step.digest or step.name
            kept[key] = step if key not in kept else max(kept[key], step, key=lambda each: len(each.inputs))
    return list(kept.values())


def build(context: Path | str, *, dockerfile: str = "Dockerfile", tag: str | None = None, buildargs: Mapping[str, str] | None = None,
          target: str | None = None, no_cache: bool = False, labels: Mapping[str, str] | None = None,
          on_step: Callable[[Step], None] | None = None, backend: str = "buildkit", client: docker.DockerClient | None = None,
          max_context_bytes: int = MAX_CONTEXT_BYTES, network: str | None = None, cancel: Cancel | None = None) -> BuildReport:
    """Build `context` and return the report; `on_step` is called whenever a step starts, ends or is found in the cache.

    `backend` is "buildkit" or "classic"; `network` is the network of RUN steps ("none", "host"), the engine's default where None.
    An interrupt, or `cancel.request()` from another thread, closes the connection, and the engine stops the build.
    Raises BuildFailed, ContextTooLarge, BuildCancelled or EngineStopped.
    """
    if backend not in _TRACES:
        raise CourseError(f"There is no back end {backend!r}.", fix=f"Use one of: {', '.join(_TRACES)}.")
    client, folder = client or connection.connect(timeout=1800), Path(context)
    if not (folder / dockerfile).is_file():
        raise BuildFailed(f"There is no {dockerfile} in {folder}.", fix="Create it, or name another with `dockerfile=`.")
    names, tag = _sent(folder, dockerfile), naming.own(tag) if tag else None
    size = _check_size(folder, names, max_context_bytes)
    # As the docker command does: proxies reach RUN, stay out of the image, and are left out of the cache key.
    arguments = connection.proxies(connection.address_of(client)) | {key: naming.own(str(value)) for key, value in (buildargs or {}).items()}
    marks = connection.image_labels(tag or "") | connection.for_image(labels or {})
    query = {"version": "2" if backend == "buildkit" else "1", "dockerfile": dockerfile, "buildargs": json.dumps(arguments),
             "labels": json.dumps(marks), "rm": "1", "forcerm": "1"}
    # The engine may come to the end of a build in the moment in which it is cancelled: then the name is not given.
    query |= {key: value for key, value in (("t", None if cancel else tag), ("target", target), ("networkmode", network)) if value}
    query |= {"nocache": "1"} if no_cache else {}
    named = {"tag": connection.full_tag(tag) if tag else "", "kind": marks[connection.KIND_LABEL]}
    ownership.note(client, **named)  # before it is there: whoever is killed meanwhile cannot note it any more
    started = datetime.now(UTC)
    try:
        if backend == "buildkit" and dockerfile not in names and buildx.available():
            trace = buildx.run(client, folder, dockerfile, query, Trace(on_step), cancel)
        else:
            with _archive(folder, names, dockerfile, backend) as archive:
                trace = _post(client, archive, query, _TRACES[backend](on_step), cancel)
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        if cancel and cancel.requested:
            raise _cancelled() from error
        raise _stopped(type(error).__name__) from error
    if cancel and cancel.requested and not trace.image_id:
        raise _cancelled()
    if trace.error and not trace.failed() and re.search(_SHUTDOWN, trace.error):
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


def _post(client: docker.DockerClient, archive: IO[bytes], query: dict[str, str], trace: Trace, cancel: Cancel | None) -> Trace:
    """Send the context and feed the answer to `trace`; leaving early, by an interrupt too, closes the connection."""
    api = client.api
    response = api.post(f"{api.base_url}/v{api.api_version}/build", params=query, data=archive, stream=True,
                        headers={"Content-Type": "application/x-tar"}, timeout=None)
    with response:
        if not response.ok:
            message = _message(response.content)
            raise BuildFailed(f"The engine refused the build: {message}.", *build_causes.of(None, message))
        chunks = response.iter_content(None)
        for entry in _entries(cancel.watch(chunks, response) if cancel else chunks):
            trace.add(entry)
    return trace


def _name(client: docker.DockerClient, image_id: str, tag: str, cancel: Cancel) -> None:
    """Give the image its tag, unless the build was cancelled while it ended. Asks the engine."""
    if cancel.requested:
        with contextlib.suppress(APIError):
            if not client.api.inspect_image(image_id)["RepoTags"]:  # a build from the cache may have made what is there already
                client.api.remove_image(image_id)
        raise _cancelled()
    client.api.tag(image_id, tag)


def _cancelled() -> BuildCancelled:
    return BuildCancelled("The build was cancelled.", fix="Build again when you like: finished steps are in the cache.")


def _stopped(reason: str) -> EngineStopped:
    return EngineStopped("The engine stopped answering during the build.", f"{reason}.",
                         "Run `make engine`, then build again: finished steps are in the cache.")


class Trace:
    """Merges the entries of a BuildKit stream into steps, by vertex digest."""

    def __init__(self, on_step: Callable[[Step], None] | None = None) -> None:
        self._steps: dict[str, Step] = {}
        self._origin: float | None = None
        self._on_step = on_step
        self.image_id = self.error = ""

    def add(self, entry: Mapping[str, Any]) -> None:
        """Take one JSON entry of the stream."""
        if "errorDetail" in entry or "error" in entry:
            self.error = (entry.get("errorDetail") or {}).get("message") or str(entry.get("error"))
        elif entry.get("id") == "moby.image.id":
            self.image_id = entry["aux"]["ID"]
        elif entry.get("id") == "moby.buildkit.trace":
            self._decode(base64.b64decode(entry["aux"]))

    def _decode(self, data: bytes) -> None:
        self.take(pb.StatusResponse.FromString(data))

    def take(self, status: pb.StatusResponse) -> None:
        """Merge one status of a build."""
        for vertex in status.vertexes:
            step = self._steps.setdefault(vertex.digest, Step(vertex.name, vertex.digest))
            before = (step.done, step.cached, step.seconds, step.started)
            step.name, step.inputs = vertex.name or step.name, tuple(vertex.inputs)
            step.cached = step.cached or vertex.cached
            if vertex.HasField("started"):
                begun = vertex.started.ToNanoseconds() / 1e9
                # A step that another build is at as well comes with the times of that build; loading the context is our own.
                if vertex.name.startswith(_OWN) or self._origin is None:
                    self._origin = begun
                elif not any(each.name.startswith(_OWN) for each in self._steps.values()):
                    self._origin = min(self._origin, begun)
                if step.error and begun > step.started:  # another build was cancelled at this step: it begins anew in this one
                    step.done, step.error, step.seconds, step.log = False, "", 0.0, ""
                if not step.started or not (step.done or step.seconds):
                    step.started = begun
                step.done = vertex.HasField("completed")
                if step.done:
                    # BuildKit may report a vertex several times, each time with the same start: what counts is when it ended last.
                    step.seconds = max(step.seconds, vertex.completed.ToNanoseconds() / 1e9 - begun)
                    step.error = vertex.error
            if self._on_step and before != (step.done, step.cached, step.seconds, step.started):
                self._on_step(step)
        for log in status.logs:
            if log.vertex in self._steps:
                self._steps[log.vertex].log += log.msg.decode(errors="replace")

    @property
    def began(self) -> float:
        """When the first step started, in seconds since 1970; 0 before that, and where the builder gives no times."""
        return self._origin or 0.0

    def steps(self) -> list[Step]:
        """The steps in the order they started, times counted from the first."""
        for step in self._steps.values():
            step.started = max(0.0, step.started - (self._origin or 0.0)) if step.started > 1e6 else step.started
        return sorted(self._steps.values(), key=lambda step: step.started)

    def failed(self) -> Step | None:
        """The step that the build stopped at: the one whose error the build ended with."""
        failed = [step for step in self._steps.values() if step.error and "context canceled" not in step.error]
        return next((step for step in failed if step.error in self.error), failed[0] if failed else None)

    def line(self, step: Step, dockerfile: Dockerfile, buildargs: Mapping[str, str]) -> int:
        """The line of the Dockerfile that a step stands on, 0 where it cannot be told."""
        return build_plan.locate(step, build_plan.plan(dockerfile, buildargs), list(self._steps.values()))


def _entries(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """JSON documents from a stream of chunks, one a line; a last line that was cut off is dropped."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())
    if rest.strip():
        with contextlib.suppress(ValueError):
            yield json.loads(rest)


class ClassicTrace(Trace):
    """Reads the plain-text stream of the deprecated builder into the same steps, named as BuildKit names them.

    The stream holds no times, so a step lasts from its line until the next step's line arrives.
    """

    def __init__(self, on_step: Callable[[Step], None] | None = None) -> None:
        super().__init__(on_step)
        self._stage = ""
        self._begun = time.monotonic()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Take one JSON entry of the stream."""
        super().add(entry)
        line = str(entry.get("stream", ""))
        if header := re.match(r"Step (\d+)/(\d+) : (.*)", line, re.DOTALL):
            self._finish()
            self._start(int(header[1]), int(header[2]), header[3].strip())
        elif self._steps and line:
            step = self.steps()[-1]
            step.cached = step.cached or line.strip() == "---> Using cache"
            step.log += line
        if "ID" in (aux := entry.get("aux") or {}) and isinstance(aux, dict):
            self.image_id = aux["ID"]
        if built := re.match(r"Successfully built ([0-9a-f]+)", line):
            self.image_id = self.image_id or built[1]
            self._finish()
        if self.error and self._steps and not self.steps()[-1].error:
            self.steps()[-1].error = self.error

    def line(self, step: Step, dockerfile: Dockerfile, buildargs: Mapping[str, str]) -> int:
        """The line of the Dockerfile that a step stands on: this builder counts all instructions of the file."""
        return next((each.line for number, each in enumerate(dockerfile.instructions, 1) if str(number) == step.digest), 0)

    def _start(self, number: int, count: int, instruction: str) -> None:
        # The builder appends our labels as a last instruction that does not stand in the Dockerfile.
        if number == count:
            name = "[internal] set labels"
        else:
            if opened := re.match(r"FROM\s+\S+(?:\s+AS\s+(\S+))?", instruction, re.IGNORECASE):
                self._stage = f"{opened[1]} " if opened[1] else ""
            name = f"[{self._stage}{number}/{count - 1}] {instruction}"
        step = Step(name, digest=str(number), started=time.monotonic() - self._begun)
        self._steps[step.digest] = step
        if self._on_step:
            self._on_step(step)

    def _finish(self) -> None:
        step = self.steps()[-1] if self._steps else None
        if step and not step.done:
            step.seconds, step.done = time.monotonic() - self._begun - step.started, True
            if self._on_step:
                self._on_step(step)


_TRACES: dict[str, type[Trace]] = {"buildkit": Trace, "classic": ClassicTrace}
# What an engine that is being stopped says about a build that ran.
_SHUTDOWN = r"context canceled|graceful.?stop|transport is closing|error reading from server|connection refused|Cannot connect to the Docker daemon"


def failure(trace: Trace, dockerfile: Path, buildargs: Mapping[str, str]) -> BuildFailed:
    """What the step that failed says: its line in the Dockerfile, the end of its log, the engine's words, and a cause that these prove."""
    step, text = trace.failed(), read(dockerfile)
    log = [line for line in (step.log if step else "").strip().splitlines() if line.strip()][-5:]
    number = _line(trace, step, text, buildargs)
    shown = text.split("\n")[number - 1].strip() if number else ""
    where = f"{dockerfile.name} line {number} failed: {shown}" if number else f"{dockerfile.name} failed: {trace.error.strip()}"
    tail = "\n".join(f"    {line if len(line) <= 160 else line[:159] + '…'}" for line in log)
    detail = "" if not number else f"The engine says: {trace.error.strip().splitlines()[-1]}."
    why, fix = build_causes.of(step, trace.error)
    return BuildFailed(printable(where + (f"\n{tail}" if tail else "")), printable(" ".join(part for part in (detail, why) if part)), fix)


def _line(trace: Trace, step: Step | None, text: str, buildargs: Mapping[str, str]) -> int:
    """The number of the Dockerfile line that failed, 0 where it cannot be told."""
    if step is None:
        match = re.search(r"dockerfile parse error on line (\d+)", trace.error)
        return int(match[1]) if match and int(match[1]) <= len(text.split("\n")) else 0
    dockerfile = parse(text)
    if step.name.startswith(build_causes.FRONTEND):
        return next((number for number, line in enumerate(text.split("\n"), 1) if re.match(r"\s*(?:#|//)\s*syntax\s*=", line, re.IGNORECASE)), 0)
    if image := build_causes.image_of(step):
        return build_plan.line_of_image(image, build_plan.plan(dockerfile, buildargs))
    return trace.line(step, dockerfile, buildargs)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message", "")).strip()
    except ValueError:
        return body.decode(errors="replace").strip()


def _sent(folder: Path, dockerfile: str) -> list[str]:
    """The paths of the context, by the rules of .dockerignore. Raises BuildFailed for a rule or a folder that cannot be read."""
    try:
        return list(IgnoreRules.of(folder, dockerfile).walk(folder))
    except BadPattern as error:
        raise BuildFailed(error.what, error.why, error.fix) from error
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> BuildFailed:
    return BuildFailed(f"{error.filename or 'A file of the context'} cannot be read.", f"{error.strerror or error}.",
                       "Give yourself the right to read it, or list it in .dockerignore.")


def _archive(folder: Path, names: list[str], dockerfile: str, backend: str) -> IO[bytes]:
    """The context as a tar in a temporary file, the Dockerfile first and all entries owned by root. Raises BuildFailed.

    The Dockerfile goes along even where .dockerignore lists it (from there a `COPY . .` takes it, where there is no buildx to build by).
    BuildKit needs no .dockerignore in a tar; the classic builder reads it there, and takes away itself and the Dockerfile where listed.
    GNU format, because the engine decides from the first kilobyte whether a body is a tar, and a PAX header hides that.
    """
    needed = [dockerfile, *([".dockerignore"] if backend == "classic" and (folder / ".dockerignore").is_file() else [])]
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name in dict.fromkeys([*needed, *names]):
                with contextlib.suppress(FileNotFoundError):  # removed while the context was read
                    _add(archive, folder / name, name, sent(folder / name) if name == dockerfile else None)
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise _unreadable(error) from error
        raise
    file.seek(0)
    return file


def _add(archive: tarfile.TarFile, path: Path, name: str, content: bytes | None = None) -> None:
    """Add a file, with `content` in place of its own."""
    entry = archive.gettarinfo(path, arcname=name)
    if entry is None:  # a socket: Docker sends an empty file in its place
        entry = tarfile.TarInfo(name)
        entry.mode, entry.mtime = stat.S_IMODE(path.lstat().st_mode), path.lstat().st_mtime
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = int(entry.mtime)
    if entry.isreg() and entry.size:
        entry.size = entry.size if content is None else len(content)
        with path.open("rb") if content is None else io.BytesIO(content) as source:
            archive.addfile(entry, source)
    else:
        archive.addfile(entry)


def _check_size(folder: Path, names: list[str], limit: int) -> int:
    """The bytes that will be sent. Raises ContextTooLarge above `limit`, naming what weighs most."""
    sizes = {name: found.st_size for name in names if (found := _status(folder / name)) and stat.S_ISREG(found.st_mode)}
    total = sum(sizes.values())
    if total > limit:
        weights: dict[str, int] = {}
        for name, size in sizes.items():  # a folder of many small files weighs as one
            top, *below = Path(name).parts
            weights[f"{top}/" if below else top] = weights.get(f"{top}/" if below else top, 0) + size
        largest = sorted(weights, key=lambda name: -weights[name])[:3]
        named = ", ".join(f"{name} ({weights[name] / 1e6:.0f} MB)" for name in largest)
        raise ContextTooLarge(f"The build context holds {total / 1e6:,.0f} MB.", f"The largest: {named}.",
                              "List what the build does not need in .dockerignore, or raise `max_context_bytes`.")
    return total


def _status(path: Path) -> os.stat_result | None:
    with contextlib.suppress(FileNotFoundError):
        return path.lstat()
    return None
