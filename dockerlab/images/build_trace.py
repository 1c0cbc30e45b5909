"""What an engine says of a build while it runs, read into steps: BuildKit's trace, or the classic builder's lines."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dockerlab.core.markup import printable
from dockerlab.images import build_causes, build_plan
from dockerlab.images import buildkit_pb2 as pb
from dockerlab.images.build_errors import BuildFailed
from dockerlab.images.build_report import Step
from dockerlab.images.dockerfile import Dockerfile, parse, read

_OWN = ("[internal] load remote build context", "[internal] load build definition")


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
                if (
                    step.error and begun > step.started
                ):  # another build was cancelled at this step: it begins anew in this one
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
            step.started = (
                max(0.0, step.started - (self._origin or 0.0)) if step.started > 1e6 else step.started
            )
        return sorted(self._steps.values(), key=lambda step: step.started)

    def failed(self) -> Step | None:
        """The step that the build stopped at: the one whose error the build ended with."""
        failed = [
            step for step in self._steps.values() if step.error and "context canceled" not in step.error
        ]
        return next((step for step in failed if step.error in self.error), failed[0] if failed else None)

    def line(self, step: Step, dockerfile: Dockerfile, buildargs: Mapping[str, str]) -> int:
        """The line of the Dockerfile that a step stands on, 0 where it cannot be told."""
        return build_plan.locate(step, build_plan.plan(dockerfile, buildargs), list(self._steps.values()))


def entries(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
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
        return next(
            (
                each.line
                for number, each in enumerate(dockerfile.instructions, 1)
                if str(number) == step.digest
            ),
            0,
        )

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


TRACES: dict[str, type[Trace]] = {"buildkit": Trace, "classic": ClassicTrace}


# What an engine that is being stopped says about a build that ran.
SHUTDOWN = r"context canceled|graceful.?stop|transport is closing|error reading from server|connection refused|Cannot connect to the Docker daemon"


def failure(trace: Trace, dockerfile: Path, buildargs: Mapping[str, str]) -> BuildFailed:
    """What the step that failed says: its line in the Dockerfile, the end of its log, the engine's words, and a cause that these prove."""
    step, text = trace.failed(), read(dockerfile)
    log = [line for line in (step.log if step else "").strip().splitlines() if line.strip()][-5:]
    number = _line(trace, step, text, buildargs)
    shown = text.split("\n")[number - 1].strip() if number else ""
    where = (
        f"{dockerfile.name} line {number} failed: {shown}"
        if number
        else f"{dockerfile.name} failed: {trace.error.strip()}"
    )
    tail = "\n".join(f"    {line if len(line) <= 160 else line[:159] + '…'}" for line in log)
    detail = "" if not number else f"The engine says: {trace.error.strip().splitlines()[-1]}."
    why, fix = build_causes.of(step, trace.error)
    return BuildFailed(
        printable(where + (f"\n{tail}" if tail else "")),
        printable(" ".join(part for part in (detail, why) if part)),
        fix,
    )


def _line(trace: Trace, step: Step | None, text: str, buildargs: Mapping[str, str]) -> int:
    """The number of the Dockerfile line that failed, 0 where it cannot be told."""
    if step is None:
        match = re.search(r"dockerfile parse error on line (\d+)", trace.error)
        return int(match[1]) if match and int(match[1]) <= len(text.split("\n")) else 0
    dockerfile = parse(text)
    if step.name.startswith(build_causes.FRONTEND):
        return next(
            (
                number
                for number, line in enumerate(text.split("\n"), 1)
                if re.match(r"\s*(?:#|//)\s*syntax\s*=", line, re.IGNORECASE)
            ),
            0,
        )
    if image := build_causes.image_of(step):
        return build_plan.line_of_image(image, build_plan.plan(dockerfile, buildargs))
    return trace.line(step, dockerfile, buildargs)


def message(body: bytes) -> str:
    """What the engine says in a refusal, from its JSON or as it is."""
    try:
        return str(json.loads(body).get("message", "")).strip()
    except ValueError:
        return body.decode(errors="replace").strip()
