"""Build one small context with `dockerlab.images.build` and with `docker buildx build`, in turns, and compare the medians.

Exit code 1 when dockerlab's median is more than 1.05 times that of buildx, uncached or cached. Needs the engine, the base and buildx.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from dockerlab.core.errors import CourseError
from dockerlab.engine import connection, object_labels
from dockerlab.images.build import build

BASE = "python:3.11-slim-bookworm"
LIMIT = 1.05
TIMEOUT_SECONDS = 300
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
ARG NONCE
RUN echo "$NONCE" > /nonce
WORKDIR /app
COPY requirements.txt .
RUN cat requirements.txt > /installed
COPY . .
RUN ls -l /app > /listing
"""


def write_context(folder: Path) -> None:
    """A context like that of a small API: a Dockerfile, twenty modules, one megabyte of data."""
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "requirements.txt").write_text("fastapi\nuvicorn\n", encoding="utf-8")
    (folder / "model.bin").write_bytes(bytes(range(256)) * 4096)
    for number in range(20):
        (folder / f"module_{number}.py").write_text(f"VALUE = {number}\n" * 50, encoding="utf-8")


def with_dockerlab(client: docker.DockerClient, folder: Path, tag: str, arguments: dict[str, str]) -> None:
    """Build through the Engine API, in this process."""
    build(folder, tag=tag, buildargs=arguments, client=client)


def with_buildx(folder: Path, tag: str, arguments: dict[str, str]) -> None:
    """Build with the command line, on the engine's own builder and with the same labels. Raises CourseError when it fails."""
    command = ["docker", "buildx", "build", "--quiet", "--load", "--tag", tag]
    for key, value in arguments.items():
        command += ["--build-arg", f"{key}={value}"]
    for key, value in object_labels.labels(kind="image").items():
        command += ["--label", f"{key}={value}"]
    done = subprocess.run(
        [*command, str(folder)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise CourseError(
            "docker buildx build failed.",
            (done.stderr.strip().splitlines() or [""])[-1],
            "Run `dockerlab doctor`.",
        )


def seconds(work: Callable[[], None]) -> float:
    """The wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(
    client: docker.DockerClient, folder: Path, base: str, rounds: int, cached: bool, tag: str, made: set[str]
) -> tuple[list[float], list[float]]:
    """Seconds of dockerlab and of buildx, one pair a round, the order swapped every round; one unmeasured pair goes first.

    The ids of the images are added to `made`.
    """
    fixed = uuid.uuid4().hex
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        tools = [
            (times[0], lambda arguments: with_dockerlab(client, folder, tag, arguments)),
            (times[1], lambda arguments: with_buildx(folder, tag, arguments)),
        ]
        for record, tool in tools if number % 2 else reversed(tools):
            arguments = {"BASE": base, "NONCE": fixed if cached else uuid.uuid4().hex}
            spent = seconds(partial(tool, arguments))
            made.add(client.images.get(tag).id)
            if number:
                record.append(spent)
    return times


def main() -> int:
    """Print the medians and their ratio; 1 when a ratio is above the limit or the benchmark cannot run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="measured builds of each kind (default 7)")
    parser.add_argument(
        "--base", default=BASE, help=f"an image on the engine that has a shell (default {BASE})"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    tag = f"dockerlab-bench:{uuid.uuid4().hex[:8]}"
    try:
        client = connection.connect()
        try:
            client.images.get(options.base)
        except ImageNotFound as error:
            raise CourseError(
                f"{options.base} is not on the engine.",
                "The benchmark pulls nothing.",
                "Run `dockerlab bases`, or name another --base.",
            ) from error
        return _report(client, options.base, options.rounds, tag)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1


def _report(client: docker.DockerClient, base: str, rounds: int, tag: str) -> int:
    worst, made = 0.0, set[str]()
    with tempfile.TemporaryDirectory(prefix="dockerlab-") as name:
        folder = Path(name)
        write_context(folder)
        try:
            for cached in (False, True):
                ours, theirs = (
                    statistics.median(times)
                    for times in compare(client, folder, base, rounds, cached, tag, made)
                )
                worst = max(worst, ours / theirs)
                print(
                    f"{'cached' if cached else 'uncached':9} dockerlab {ours:6.3f} s   buildx {theirs:6.3f} s   ratio {ours / theirs:.3f}   "
                    f"(medians of {rounds})",
                    flush=True,
                )
        finally:
            for image in made:  # a rebuilt tag leaves the image before it without a name
                with contextlib.suppress(ImageNotFound):
                    client.images.remove(image, force=True)
    return 1 if worst > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
