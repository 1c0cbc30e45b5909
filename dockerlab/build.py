"""Build an image and report every step: BuildKit over the Engine API, without any command line; or the classic builder.

Protocol: `POST /build?version=2` (Docker Engine API, ImageBuild) takes the context as a tar and answers a JSON stream;
entries with the id `moby.buildkit.trace` hold a protobuf StatusResponse (see _buildkit.proto), the last one the image.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
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
from docker.utils import build as docker_context

from dockerlab import _buildkit_pb2 as pb
from dockerlab import engine
from dockerlab.errors import CourseError

MAX_CONTEXT_BYTES = 500_000_000
_HOUSEKEEPING = ("[internal]", "exporting to", "importing cache", "resolve image config", "docker-image://", "preparing build cache")

_OWN = "[internal] load remote build context"
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
        self._stream: CancellableStream | None = None

    def request(self) -> None:
        """Close the connection of the build, now or as soon as it is there; the engine then ends the build."""
        self.requested = True
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()

    def watch(self, chunks: Iterator[bytes], response: requests.Response) -> Iterator[bytes]:
        """The same chunks, which end when the build is cancelled."""
        self._stream = CancellableStream(chunks, response)
        if self.requested:
            self.request()
        return self._stream


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


    def line(self) -> str:
        """`cached` or its seconds, and its name."""
        return f"{'cached' if self.cached else f'{self.seconds:5.1f} s':>7}  {self.name}"


@dataclass(repr=False)
class BuildReport:
    """What a build did. `seconds` is from sending the context until the image was there."""

    image_id: str
    tag: str | None
    steps: list[Step] = field(default_factory=list)
    seconds: float = 0.0
    context_bytes: int = 0

    @property
    def instructions(self) -> list[Step]:
        """The steps that stand in the Dockerfile, without the FROM lines, which do nothing once the base is here.

        In the order they started; within a stage in that of the Dockerfile, since cached steps are found in any order.
        """
        steps = [step for step in self.steps if not step.internal and "] FROM " not in step.name]
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
    client, folder = client or engine.connect(timeout=1800), Path(context)
    if not (folder / dockerfile).is_file():
        raise BuildFailed(f"There is no {dockerfile} in {folder}.", fix="Create it, or name another with `dockerfile=`.")
    exclude = ignore_patterns(folder, dockerfile)
    names = sorted(docker_context.exclude_paths(str(folder), exclude, dockerfile=dockerfile))
    size = _check_size(folder, names, max_context_bytes)
    arguments = {key: str(value) for key, value in (buildargs or {}).items()}
    marks = engine.labels(kind="image") | dict(labels or {})
    query = {"version": "2" if backend == "buildkit" else "1", "dockerfile": dockerfile, "buildargs": json.dumps(arguments),
             "labels": json.dumps(marks), "rm": "1", "forcerm": "1"}
    # The engine may come to the end of a build in the moment in which it is cancelled: then the name is not given.
    query |= {key: value for key, value in (("t", None if cancel else tag), ("target", target), ("networkmode", network)) if value}
    query |= {"nocache": "1"} if no_cache else {}
    started = datetime.now(UTC)
    try:
        with _archive(folder, names, dockerfile) as archive:
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
        raise _failure(trace, folder / dockerfile)
    if not trace.image_id:
        raise _stopped("its answer ended without an image")
    if cancel and tag:
        _name(client, trace.image_id, tag, cancel)
    seconds = (datetime.now(UTC) - started).total_seconds()
    return BuildReport(trace.image_id, tag, trace.steps(), seconds, size)


def _post(client: docker.DockerClient, archive: IO[bytes], query: dict[str, str], trace: Trace, cancel: Cancel | None) -> Trace:
    """Send the context and feed the answer to `trace`; leaving early, by an interrupt too, closes the connection."""
    api = client.api
    response = api.post(f"{api.base_url}/v{api.api_version}/build", params=query, data=archive, stream=True,
                        headers={"Content-Type": "application/x-tar"}, timeout=None)
    with response:
        if not response.ok:
            message = _message(response.content)
            raise BuildFailed(f"The engine refused the build: {message}.", *_cause(message))
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
        status = pb.StatusResponse.FromString(data)
        for vertex in status.vertexes:
            step = self._steps.setdefault(vertex.digest, Step(vertex.name, vertex.digest))
            before = (step.done, step.cached, step.seconds, step.started)
            step.name, step.inputs = vertex.name or step.name, tuple(vertex.inputs)
            step.cached = step.cached or vertex.cached
            if vertex.HasField("started"):
                begun = vertex.started.ToNanoseconds() / 1e9
                # A step that another build is at as well comes with the times of that build; loading the context is our own.
                if vertex.name == _OWN or self._origin is None:
                    self._origin = begun
                elif not any(each.name == _OWN for each in self._steps.values()):
                    self._origin = min(self._origin, begun)
                if step.error and begun > step.started:  # another build was cancelled at this step: it begins anew in this one
                    step.done, step.error, step.seconds, step.log = False, "", 0.0, ""
                if not step.started or not (step.done or step.seconds):
                    step.started = begun
                step.done = vertex.HasField("completed")
                if step.done:
                    # BuildKit may report a vertex several times; the parts it ran for add up.
                    step.seconds = max(step.seconds, vertex.completed.ToNanoseconds() / 1e9 - begun)
                    step.error = vertex.error
            if self._on_step and before != (step.done, step.cached, step.seconds, step.started):
                self._on_step(step)
        for log in status.logs:
            if log.vertex in self._steps:
                self._steps[log.vertex].log += log.msg.decode(errors="replace")

    def steps(self) -> list[Step]:
        """The steps in the order they started, times counted from the first."""
        for step in self._steps.values():
            step.started = max(0.0, step.started - (self._origin or 0.0)) if step.started > 1e6 else step.started
        return sorted(self._steps.values(), key=lambda step: step.started)

    def failed(self) -> Step | None:
        """The step that the build stopped at."""
        return next((step for step in self._steps.values() if step.error and "context canceled" not in step.error), None)


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
_SHUTDOWN = r"context canceled|graceful.?stop|transport is closing|error reading from server|connection refused"

# What a message contains, why it probably came about, and what to do.
_CAUSES = (
    (r"no space left on device", "The engine's disk is full.", "Free some with `dockerlab clean`, then build again."),
    (r"pull access denied|failed to resolve source metadata|no such host.*registry|manifest unknown|lookup (registry|gcr|auth)",
     "The base image is not on the engine and no registry answers.", "Run `dockerlab bases`, or check the name after FROM."),
    (r"failed to compute cache key|not found: not found|: not found$|COPY failed", "A COPY names a file that is not in the context.",
     "Check its path, and that .dockerignore does not exclude it."),
    # Before pip's own last word, which is the same for a package that does not exist.
    (r"Temporary failure (?:in name )?resol|Network is unreachable|NewConnectionError|Could not resolve|failed to lookup address", "The build has no network.",
     "Connect, or set the site's package index in course.local.toml."),
    (r"No matching distribution|Could not find a version", "pip found no such package for this Python and platform.", "Check the name and version."),
    (r"Unable to locate package|has no installation candidate", "apt does not know that package in this release.",
     "Check its name, and that `apt-get update` runs in the same RUN."),
    (r"dockerfile parse error|unknown instruction|unknown flag|syntax error|^[A-Z]+ (?:must have|requires) ",
     "The Dockerfile has a syntax error.", "Mend that line."),
    (r"permission denied", "A file may not be read or executed by this user.", "Check USER, --chown and --chmod."),
)


def _cause(message: str) -> tuple[str, str]:
    for pattern, why, fix in _CAUSES:
        if re.search(pattern, message, re.IGNORECASE):
            return why, fix
    return "", "Read the last lines above and mend that step."


def _failure(trace: Trace, dockerfile: Path) -> BuildFailed:
    step = trace.failed()
    log = [line for line in (step.log if step else "").strip().splitlines() if line.strip()][-5:]
    why, fix = _cause("\n".join([trace.error, *log]))
    number, text = _line(dockerfile, trace.error, step)
    where = f"{dockerfile.name} line {number} failed: {text}" if number else f"{dockerfile.name} failed: {trace.error.strip()}"
    tail = "\n".join(f"    {line if len(line) <= 160 else line[:159] + '…'}" for line in log)
    detail = "" if not number else f"The engine says: {trace.error.strip().splitlines()[-1]}."
    return BuildFailed(_printable(where + (f"\n{tail}" if tail else "")), _printable(" ".join(part for part in (detail, why) if part)), fix)


def _printable(text: str) -> str:
    """What a build wrote may hold anything: colours, which go, and codes that would move the reader's cursor."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in plain)


def _line(dockerfile: Path, error: str, step: Step | None) -> tuple[int, str]:
    """The number and text of the Dockerfile line that failed, (0, "") when it cannot be told."""
    lines = dockerfile.read_text(encoding="utf-8", errors="replace").splitlines()
    match = re.search(r"(?:parse error on |Dockerfile\S*:|line )(?:line )?(\d+)", error)
    if match and 0 < int(match.group(1)) <= len(lines):
        return int(match.group(1)), lines[int(match.group(1)) - 1].strip()
    if step:
        wanted = re.sub(r"\s+", "", re.sub(r"^\[[^\]]*\]\s*", "", step.name))
        for number, line in enumerate(lines, 1):
            squeezed = re.sub(r"\s+", "", line.rstrip("\\"))
            if squeezed and not line.lstrip().startswith("#") and len(squeezed) > 4 and wanted.startswith(squeezed):
                return number, line.strip()
    return 0, ""


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message", "")).strip()
    except ValueError:
        return body.decode(errors="replace").strip()


def ignore_patterns(folder: Path, dockerfile: str = "Dockerfile") -> list[str]:
    """The patterns of `<dockerfile>.dockerignore`, else of `.dockerignore`."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
            return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return []


def _archive(folder: Path, names: list[str], dockerfile: str) -> IO[bytes]:
    """The context as a tar in a temporary file, the Dockerfile first and all entries owned by root.

    GNU format, because the engine decides from the first kilobyte whether a body is a tar, and a PAX header hides that.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(names, key=lambda name: (name != dockerfile, name)):
            try:
                entry = archive.gettarinfo(folder / name, arcname=name)
            except FileNotFoundError:
                continue  # removed while the context was read
            if entry is None:  # a socket: nothing that a build could use
                continue
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = int(entry.mtime)
            if entry.isreg():
                with (folder / name).open("rb") as source:
                    archive.addfile(entry, source)
            else:
                archive.addfile(entry)
    file.seek(0)
    return file


def _check_size(folder: Path, names: list[str], limit: int) -> int:
    """The bytes that will be sent. Raises ContextTooLarge above `limit`, naming what weighs most."""
    sizes = {name: (folder / name).stat().st_size for name in names if (folder / name).is_file() and not (folder / name).is_symlink()}
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
