"""A bench for small experiments: one folder of tiny Dockerfiles, the images built from them, and quick runs of these."""

from __future__ import annotations

import io
import shutil
import socket
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import pandas as pd
import requests
from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container

from dockerlab.containers.container import address, published, remove
from dockerlab.core.fetch import fetch
from dockerlab.core.polling import wait_until
from dockerlab.core.settings import BUILD
from dockerlab.course import cleanup
from dockerlab.engine import naming, object_labels, ownership
from dockerlab.images.build import build
from dockerlab.images.build_report import BuildReport
from dockerlab.images.config_diff import changes

AT_ONCE = 4
RUN_SECONDS = 60


class Bench:
    """The workbench of one lesson: build/lesson-NN, the repository dockerlab-lessonNN, and containers of the same prefix.

    Making one removes what processes that have died left on the engine, and what an earlier run of the lesson did. In a notebook, `docker`
    then marks what it makes.
    """

    def __init__(self, lesson: str, client: docker.DockerClient, folder: Path | None = None) -> None:
        self.client, self.repository = client, naming.own(f"{object_labels.NAME_PREFIX}lesson{lesson}")
        self._made: set[str] = set()
        self.folder = folder or BUILD / f"lesson-{lesson}"
        cleanup.begin(client)
        self.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def tag(self, name: str) -> str:
        """The full tag of one of this bench's images; any other reference (`python:3.11`) stays as it is."""
        return name if ":" in name else f"{self.repository}:{name}"

    @property
    def labels(self) -> str:
        """The course's labels as options of `docker run`, so that what it makes can be cleaned up."""
        return object_labels.options(object_labels.labels())

    @property
    def image_labels(self) -> str:
        """The course's labels as options of `docker build`: whatever is made from an image inherits them, so they name no process."""
        return object_labels.options(object_labels.image_labels())

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files into the folder, readable by all whatever this machine's umask is."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o644)

    def empty(self, name: str) -> Path:
        """A folder for a project of its own, beside the bench's: build/lesson-NN-NAME, emptied."""
        folder = self.folder.with_name(f"{self.folder.name}-{name}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def build(self, name: str, dockerfile: str, **options: Any) -> BuildReport:
        """Write Dockerfile.NAME, build it and tag it NAME; keywords go to `dockerlab.images.build.build`. Asks the engine."""
        self.write({f"Dockerfile.{name}": dockerfile})
        report = build(
            self.folder, dockerfile=f"Dockerfile.{name}", tag=self.tag(name), client=self.client, **options
        )
        self._made.add(report.image_id)
        return report

    def inspect(self, name: str) -> dict[str, Any]:
        """The image's document, as `docker image inspect` prints it. Asks the engine."""
        document: dict[str, Any] = self.client.images.get(self.tag(name)).attrs
        return document

    def changes(self, before: str, after: str) -> pd.DataFrame:
        """What the second image has otherwise than the first. Asks the engine."""
        return changes(self.inspect(before), self.inspect(after)).set_index("what")

    def run(self, name: str, command: Sequence[str] | str | None = None, **options: Any) -> str:
        """Run an image to its end; what it wrote, or `error: …` where the engine could not start it. Asks the engine."""
        try:
            with self.started(name, command, **options) as container:
                container.wait(timeout=RUN_SECONDS)
                output: bytes = container.logs()
                return output.decode(errors="replace").strip()
        except APIError as error:
            return f"error: {_short(str(error.explanation))}"

    def run_all(self, names: Sequence[str], ways: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        """Every image in every way, some at once: one row an image, one column a way, what it wrote. Asks the engine."""
        pairs = [(name, way) for name in names for way in ways]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wrote = list(pool.map(lambda pair: self.run(pair[0], **ways[pair[1]]), pairs))
        rows = {
            name: wrote[number * len(ways) : (number + 1) * len(ways)] for number, name in enumerate(names)
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(ways))

    @contextmanager
    def started(
        self, name: str, command: Sequence[str] | str | None = None, **options: Any
    ) -> Iterator[Container]:
        """A container for as long as the block lasts; it and its anonymous volumes are always removed. Asks the engine."""
        container = self.client.containers.create(
            self.tag(name),
            list(command) if isinstance(command, tuple) else command,
            name=f"{self.repository}-{uuid.uuid4().hex[:8]}",
            labels=object_labels.labels(kind="container"),
            **options,
        )
        try:
            container.start()
            yield container
        finally:
            remove(container)

    @contextmanager
    def serving(self, name: str, port: int = 8000, **options: Any) -> Iterator[Container]:
        """`started`, once something listens on `port` inside the container. Needs Python in the image. Asks the engine."""
        with self.started(name, **options) as container:
            knock = ["python", "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"]
            wait_until(lambda: container.exec_run(knock).exit_code == 0, RUN_SECONDS)
            yield container

    def reach(self, name: str, port: int, **options: Any) -> dict[str, bool]:
        """Who gets an answer from a server on `port` of a container: this machine, a neighbour on the same network. Asks the engine."""
        ask = "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5); print('answers')"
        with self.serving(name, port, **options) as container:
            # Where nothing is published, the address that people try is the same port of their own machine.
            here = published(container, port) or f"http://127.0.0.1:{port}"
            beside = self.run(name, ["python", "-c", ask, f"http://{address(container)}:{port}"])
            return {"from your machine": answers(here), "from another container": beside == "answers"}

    def left(self) -> tuple[list[Container], list[str]]:
        """The containers and the tags of this bench that are on the engine. Asks the engine."""
        return (
            [
                each
                for each in ownership.containers(self.client)
                if (each.name or "").startswith(f"{self.repository}-")
            ],
            [
                tag
                for each in ownership.images(self.client)
                for tag in each.ours
                if tag.startswith(f"{self.repository}:")
            ],
        )

    def clear(self) -> str:
        """Remove this bench's containers and images; says how many. Asks the engine."""
        containers, tags = self.left()
        for container in containers:
            remove(container)
        for image in (*tags, *self._made):  # what was built again under the same tag has lost it
            with suppress(ImageNotFound, APIError):  # somebody uses it
                self.client.images.remove(image)
        return f"removed {len(containers)} containers and {len(tags)} image tags"

    def __repr__(self) -> str:
        return f"Bench({self.repository})"


def stop_all(
    containers: Mapping[str, Container], goodbye: str = "", timeout: int | None = None
) -> pd.DataFrame:
    """Stop several containers at the same moment; one row each: PID 1, seconds, exit code, and whether `goodbye` stands in its log.

    `timeout` is the engine's patience in seconds, its own default (10) where None. Asks the engine.
    """

    def one(name: str) -> tuple[str, str, float, int, bool]:
        container = containers[name]
        container.reload()
        lines = dict(container.top(ps_args="-o pid,args")["Processes"])
        first = lines.get(str(container.attrs["State"]["Pid"]), next(iter(lines.values())))
        started = time.monotonic()
        container.stop(**({} if timeout is None else {"timeout": timeout}))
        seconds = time.monotonic() - started
        container.reload()
        said = bool(goodbye) and goodbye in container.logs().decode(errors="replace")
        return name, _program(first), round(seconds, 2), int(container.attrs["State"]["ExitCode"]), said

    with ThreadPoolExecutor(max(1, len(containers))) as pool:
        rows = list(pool.map(one, containers))
    return pd.DataFrame(rows, columns=["form", "PID 1", "seconds", "exit code", "said goodbye"]).set_index(
        "form"
    )


def archive(files: Mapping[str, str]) -> bytes:
    """A .tar.gz of small text files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, timeout: float = 2) -> bool:
    """Whether anything answers HTTP at `url` within `timeout` seconds."""
    try:
        fetch(url, timeout)
    except requests.RequestException:
        return False
    return True


def _program(arguments: str) -> str:
    """The bare name of the program in a command line: `/bin/sh -c …` -> `sh`; a script's interpreter gives way to the script."""
    words = [Path(word).name for word in arguments.split()[:2]]
    return (
        words[1]
        if len(words) == 2 and words[0].startswith("python") and not words[1].startswith("-")
        else words[0]
    )


def _short(explanation: str) -> str:
    """The end of the engine's sentence, which holds the reason: `exec: "x": executable file not found in $PATH`."""
    found = explanation.find('exec: "')
    return (explanation[found:] if found >= 0 else explanation).splitlines()[0].removesuffix(": unknown")
