"""The ten set-ups of lab 10: how they are built and started, and one measuring function for each. Every one of them asks the engine."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from dockerlab.containers import container
from dockerlab.core import polling, tars
from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.core.text import Text
from dockerlab.course import cleanup
from dockerlab.course.grading import folders
from dockerlab.course.grading.judging import NotStarted, Outcome, Submission, bounds, log_of
from dockerlab.course.workbench import answers
from dockerlab.engine import connection, naming, object_labels
from dockerlab.images import base_images
from dockerlab.images.build import build
from dockerlab.images.build_report import BuildReport
from dockerlab.lessons.lesson10_debugging import docker_run_options

KEYS = (
    "01_silence",
    "02_windows",
    "03_door",
    "04_volume",
    "05_memory",
    "06_library",
    "07_neighbour",
    "08_health",
    "09_ignored",
    "10_disk",
)
AT_ONCE = 5
END, SERVE, STOP, HEALTH = (
    60,
    40,
    3,
    60,
)  # seconds; all but STOP are waits that end as soon as there is an answer
MEMORY, SPACE = 64_000_000, 64 * 1024 * 1024  # bytes: the most for set-up 05, and for /tmp of set-up 10
SQUARES = sum(number * number for number in range(2_000_000))
SECRET = b"of-this-machine-only"
MODELS = ROOT / "assets/clinic/models"


@dataclass
class Workshop:
    """Builds and starts set-ups below `folder`; `name` and `tag` say how things are called, `labels` who removes them."""

    folder: Path
    client: docker.DockerClient
    labels: Mapping[str, str]
    name: Callable[[str], str]
    tag: Callable[[str], str]
    token: str = "harbour-n"
    marks: Mapping[str, str] = field(default_factory=dict)  # labels of the images, besides the course's own
    builder: Callable[[str, Path], BuildReport] | None = None  # where it is a check that builds
    bounds: Callable[[Sequence[str]], list[str]] = (
        lambda options: []
    )  # options that stand before those of the set-up

    def open(self) -> None:
        """Make what the set-ups find on the machine: bases, the team's network, and `models` on it."""
        for base in (base_images.SLIM, base_images.DEBIAN):
            base_images.ensure(base, self.client)
        self.client.networks.create(self.name("net"), labels=dict(self.labels))
        with tempfile.TemporaryDirectory() as folder:
            for path in MODELS.iterdir():
                (Path(folder) / path.name).write_bytes(path.read_bytes())
            (Path(folder) / "list").write_text(self.token)
            (Path(folder) / "list").chmod(0o644)
            self.build("models", Path(folder))
        options = ["--network", self.name("net"), "--network-alias", "models"]
        docker_run_options.start(self.tag("models"), self.name("models"), options, self.labels)
        models = self.client.containers.get(self.name("models"))
        polling.wait_until(lambda: b"Serving" in models.logs(), SERVE, interval=0.05)

    def build(self, what: str, folder: Path) -> None:
        """Build a folder under `tag(what)`. Asks the engine."""
        if self.builder is None:
            build(folder, tag=self.tag(what), labels=self.marks, client=self.client)
        else:
            self.builder(what, folder)

    def start(self, key: str, what: str = "", *more: str) -> tuple[Container, docker_run_options.Started]:
        """Build a set-up and `docker run` it with its options and `more`.

        Raises NotStarted without its Dockerfile, BuildFailed, BadOptions, and CourseError where the engine makes no container.
        """
        what, folder = what or key, self.folder / key
        if not (folder / "Dockerfile").is_file():
            raise NotStarted(f"{key}/Dockerfile is not there.")
        self.build(key, folder)
        places = {"network": self.name("net"), "volume": self.name(f"{what}-data")}
        options = docker_run_options.read_options(folder, places)
        if any(places["volume"] in word for word in options):
            self.client.volumes.create(places["volume"], labels=dict(self.labels))
        started = docker_run_options.start(
            self.tag(key), self.name(what), [*self.bounds(options), *options, *more], self.labels
        )
        try:
            return self.client.containers.get(self.name(what)), started
        except NotFound as error:
            raise CourseError(
                f"`docker run` was refused: {docker_run_options.reason(started.message)}"
            ) from error


class Workbench:
    """The learner's own: `start("04")` leaves a container that can be examined. Making one removes what an earlier one left."""

    def __init__(self, folder: Path, client: docker.DockerClient | None = None) -> None:
        self._open = False
        self.client = client or connection.connect()
        labels = object_labels.labels(kind="workbench", workbench=object_labels.owner())
        self._prefix = prefix = naming.own(f"{object_labels.NAME_PREFIX}lab10")
        # Images are found by label, also those whose tag a mended one has taken.
        self._workshop = Workshop(
            folder,
            self.client,
            labels,
            lambda what: f"{prefix}-{what}",
            lambda what: f"{prefix}:{what}",
            marks={"dockerlab.workbench": object_labels.owner()},
        )
        self.clear()

    def start(self, number: str | int) -> Text:
        """Build and start one set-up, `4` or `"04"`, as the check does; says what was typed and what came back. Asks the engine."""
        key = _key(number)
        if not self._open:
            self._workshop.open()
            self._open = True
        short = key.split("_")[0]
        with suppress(NotFound):
            container.remove(self.client.containers.get(f"{self._prefix}-{short}"))
        with suppress(NotFound, APIError):
            self.client.volumes.get(f"{self._prefix}-{short}-data").remove(force=True)
        _, started = self._workshop.start(key, short)
        return Text(f"$ {started.line}\n{docker_run_options.reason(started.message)}".strip())

    def clear(self) -> int:
        """Remove what was started here; says how many containers went. Asks the engine."""
        self._open = False
        return cleanup.remove_labelled(self.client, f"dockerlab.workbench={object_labels.owner()}").containers


def _key(number: str | int) -> str:
    wanted = str(number).split("_")[0].zfill(2)
    found = next((key for key in KEYS if key.startswith(wanted)), None)
    if found is None:
        raise CourseError(f"There is no set-up {number}.", fix="They are 1 to 10.")
    return found


def begin(submission: Submission) -> None:
    """Open the workshop and let all set-ups run, some at once; each criterion waits for its own."""
    shop = Workshop(
        submission.folder,
        submission.client,
        submission.labels(),
        submission.name,
        lambda what: submission.cached(("tag", what), lambda: submission.tag(what)),
        f"model-{uuid.uuid4().hex[:8]}",
        submission.image_labels(),
        lambda what, folder: submission.build(
            what, folders.duplicate(folder, submission.scratch() / folder.name)
        ),
        bounds,
    )
    shop.open()
    # Before its image: one that is in use would lose its tag and stay.
    submission.callback(container.remove, submission.client.containers.get(submission.name("models")))
    pool = submission.pool(AT_ONCE)
    ill = pool.submit(_run, shop, "08_ill", _health, "-e", "MOOD=ill")
    submission.state |= {
        key: pool.submit(_run, shop, key, _RUNS[key])
        for key in sorted(KEYS, key=lambda key: key != "08_health")
    }
    submission.state |= {"08_ill": ill}


def _run(shop: Workshop, key: str, measure: Callable[..., Any], *more: str) -> Any:
    """Start and measure one set-up; its container goes at once, beside the others that still run."""
    try:
        return measure(shop, key, *more)
    finally:
        with suppress(NotFound):
            container.remove(shop.client.containers.get(shop.name(key)))


def result(key: str) -> Callable[[Submission], Outcome]:
    """The measuring function of a criterion: what came of the set-up `key`."""

    def measure(submission: Submission) -> Outcome:
        future: Future[Outcome] = submission.state[key]
        return future.result()

    return measure


# --- what several set-ups use


def _state(of: Container) -> str:
    """Status, exit code and last line, for the learner to read. Asks the engine."""
    of.reload()
    state = of.attrs["State"]
    if state["Status"] == "created":
        return f"not started: {docker_run_options.reason(state['Error'])[-200:]}"
    lines = of.logs(tail=3).decode(errors="replace").strip().splitlines()
    code = (
        f" ({state['ExitCode']}{', out of memory' if state['OOMKilled'] else ''})"
        if state["Status"] == "exited"
        else ""
    )
    return f"{state['Status']}{code}: {lines[-1][:160] if lines else 'it wrote nothing'}"


def _ended(of: Container) -> int | None:
    """Its exit code once it has ended; None where it does not, or never started. Asks the engine."""

    def over() -> bool:
        of.reload()
        return of.status in ("exited", "dead", "created")

    polling.wait_until(over, END, interval=0.1)
    return int(of.attrs["State"]["ExitCode"]) if of.status == "exited" else None


def _wrote(shop: Workshop, key: str, text: str) -> tuple[bool, Container]:
    """Run a set-up to its end: whether it ended with 0 and `text` stands in its log."""
    of, _ = shop.start(key)
    return _ended(of) == 0 and text in log_of(of), of


def _prints(text: str) -> Callable[[Workshop, str], Outcome]:
    def run(shop: Workshop, key: str) -> Outcome:
        ok, of = _wrote(shop, key, text)
        return Outcome(ok, _state(of))

    return run


def _serves(shop: Workshop, key: str) -> tuple[bool, Container]:
    of, _ = shop.start(key)

    def ready() -> bool:
        url = container.published(of, 8000)
        return of.status == "exited" or bool(url) and answers(url, timeout=1)

    polling.wait_until(ready, SERVE, interval=0.1)
    url = container.published(of, 8000)
    return of.status == "running" and bool(url) and answers(url), of


# --- the set-ups


def _silence(shop: Workshop, key: str) -> Outcome:
    """An answer, and an end by SIGTERM."""
    ok, of = _serves(shop, key)
    if not ok:
        return Outcome(False, _state(of))
    of.stop(timeout=STOP)
    code = _ended(of)
    return Outcome(
        code != 137, f"answers; {'ends by itself' if code != 137 else f'killed {STOP} s after docker stop'}"
    )


def _door(shop: Workshop, key: str) -> Outcome:
    """An answer through the published port."""
    ok, of = _serves(shop, key)
    url = container.published(of, 8000)
    return Outcome(
        ok,
        "answers"
        if ok
        else f"no answer {'at the published port' if url else ', no port is published'}; {_state(of)}",
    )


def _volume(shop: Workshop, key: str) -> Outcome:
    """The table in the volume, and who owns it."""
    ok, of = _wrote(shop, key, "")
    if not ok:
        return Outcome(False, _state(of))
    volume = next(
        (mount for mount in of.attrs["Mounts"] if mount.get("Name") == shop.name(f"{key}-data")), None
    )
    if volume is None:
        return Outcome(False, "the volume is not mounted")
    tables = [
        entry
        for entry in _archive(of, volume["Destination"]).getmembers()
        if entry.name.endswith("boxes.csv")
    ]
    if not tables:
        return Outcome(False, "no boxes.csv in the volume")
    return Outcome(tables[0].uid != 0, f"written as user {tables[0].uid}")


def _memory(shop: Workshop, key: str) -> Outcome:
    """The sum, and the limit that was set."""
    ok, of = _wrote(shop, key, str(SQUARES))
    limit, swap = (of.attrs["HostConfig"][name] for name in ("Memory", "MemorySwap"))
    if not 0 < limit <= MEMORY or swap < 0 or swap > MEMORY:
        return Outcome(
            False,
            f"memory {limit / 1e6:.0f} MB, with swap {swap / 1e6:.0f} MB" if limit else "no limit of memory",
        )
    return Outcome(ok, _state(of))


def _neighbour(shop: Workshop, key: str) -> Outcome:
    """What `models` serves, in the log."""
    ok, of = _wrote(shop, key, shop.token)
    networks = " and ".join(
        "the team's network" if name == shop.name("net") else name
        for name in of.attrs["NetworkSettings"]["Networks"]
    )
    return Outcome(ok, f"{_state(of)}; it is on {networks}")


def _health(shop: Workshop, key: str, *more: str) -> tuple[str, str]:
    """The state of health that is reached, and the last output of the check."""
    of, _ = shop.start("08_health", key, *more)

    def judged() -> bool:
        of.reload()
        health: str = of.attrs["State"].get("Health", {}).get("Status", "none")
        return health != "starting" or bool(of.status == "exited")

    polling.wait_until(judged, HEALTH, interval=0.2)
    health = of.attrs["State"].get("Health", {})
    said = (health.get("Log") or [{}])[-1].get("Output", "").strip().splitlines()
    return health.get("Status", "no health check"), said[-1][:120] if said else _state(of)


def health(submission: Submission) -> Outcome:
    """Green where /health says 200, red where it says 503."""
    (well, said), (ill, _) = submission.state["08_health"].result(), submission.state["08_ill"].result()
    return Outcome(
        (well, ill) == ("healthy", "unhealthy"),
        f"well: {well}, ill: {ill}" + ("" if well == "healthy" else f" ({said})"),
    )


def _ignored(shop: Workshop, key: str) -> Outcome:
    """The classes, and nothing of the machine's own in the image's working folder."""
    ok, of = _wrote(shop, key, "classes: container, crane, ship, truck")
    if not ok:
        return Outcome(False, _state(of))
    inside = _archive(of, of.attrs["Config"]["WorkingDir"] or "/app")
    leaked = [
        entry.name for entry in inside.getmembers() if entry.isreg() and SECRET in tars.content(inside, entry)
    ]
    return Outcome(not leaked, f"the image holds {leaked[0]}" if leaked else _state(of))


def _disk(shop: Workshop, key: str) -> Outcome:
    """What was kept, under the limits that the options set."""
    ok, of = _wrote(shop, key, "kept 3 MB")
    host = of.attrs["HostConfig"]
    if not host["ReadonlyRootfs"]:
        return Outcome(False, "the root file system can be written")
    mounts = [mount for mount in host.get("Mounts") or [] if mount["Type"] == "tmpfs"]
    sizes = [_size(options) for options in (host.get("Tmpfs") or {}).values()]
    sizes += [(mount.get("TmpfsOptions") or {}).get("SizeBytes", 0) for mount in mounts]
    limited = bool(sizes) and all(0 < size <= SPACE for size in sizes)
    return Outcome(
        ok and limited, _state(of) if limited or not ok else "/tmp has no limit, or one above 64 MB"
    )


def _size(options: str) -> int:
    """Bytes that a tmpfs with these options may hold; 0 where they do not say so."""
    found = re.search(r"(?:^|,)size=(\d+)([kmg]?)(?:,|$)", options.lower())
    return int(found[1]) * {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[found[2]] if found else 0


def _archive(of: Container, path: str) -> tarfile.TarFile:
    """A folder of a container, running or not, as the engine hands it over."""
    pieces, _ = of.get_archive(path)
    return tarfile.open(fileobj=io.BytesIO(b"".join(pieces)))


_RUNS: dict[str, Callable[..., Any]] = {
    "01_silence": _silence, "02_windows": _prints("ships: 3"), "03_door": _door, "04_volume": _volume, "05_memory": _memory,
    "06_library": _prints("3"), "07_neighbour": _neighbour, "08_health": _health, "09_ignored": _ignored, "10_disk": _disk,
}  # fmt: skip
