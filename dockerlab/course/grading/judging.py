"""What a lab promises and how a submission is judged: by what it does, never by how it is written."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from dockerlab.containers import container
from dockerlab.core.errors import CourseError
from dockerlab.core.markup import printable
from dockerlab.course import cleanup, workspace
from dockerlab.course.grading import folders
from dockerlab.course.grading.report import Report, Result, Status
from dockerlab.course.grading.volumes import NamelessVolumes
from dockerlab.engine import connection, endpoint, naming, object_labels, ownership, process_marks
from dockerlab.images.build import Cancel, build
from dockerlab.images.build_errors import BuildCancelled
from dockerlab.images.build_report import BuildReport

T = TypeVar("T")
PATIENCE = 10  # seconds until a check says what it waits for
UNATTENDED = "DOCKERLAB_UNATTENDED"  # set in kernels whose outputs are stored or compared
BUILD_SECONDS = 1200
OVER = "the time was over"
CHECK_SECONDS = (
    5400  # of a whole check: whatever it waits for has a limit of its own, and this is one for their sum
)
LARGEST_TEXT = 1_000_000  # bytes of a file that a learner writes by hand
IMAGE_PREFIX = f"{object_labels.NAME_PREFIX}check-"  # of every image that a check makes; its tag ends with the mark of the check's process
MEMORY = 1 << 30  # bytes
LOG = {"max-size": "10m", "max-file": "1"}
# What a container may take that a check starts from a learner's image; a check that judges such a limit leaves it to the learner.
BOUNDS: Mapping[str, Any] = {
    "mem_limit": "1g",
    "memswap_limit": "1g",
    "pids_limit": 512,
    "log_config": LogConfig(type="json-file", config=LOG),
}


class NotStarted(CourseError):
    """A file that the learner writes is missing or still empty."""


@dataclass(frozen=True)
class Outcome:
    """Whether a criterion holds, and the value that was measured, ready to print."""

    ok: bool
    measured: str


@dataclass
class _Once:
    """What `cached` made for one key; the lock lets one thread make it while others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    done: bool = False
    value: Any = None
    error: Exception | None = None


class Submission:
    """One learner's folder while it is judged; everything made for it is removed when the `with` block ends.

    `state` is free for what `prepare` finds out and the criteria need. Methods may be called from several threads.
    """

    def __init__(self, folder: Path, client: docker.DockerClient | None = None, lab: str = "lab") -> None:
        self.folder, self.lab = folder, lab
        self.id = uuid.uuid4().hex[:10]
        self.state: dict[str | tuple[str, str], Any] = {}
        self._client = client
        self._volumes: NamelessVolumes | None = None
        self._cache: dict[Hashable, _Once] = {}
        self._lock = threading.Lock()
        self._builds: set[Cancel] = set()
        self._over = False
        self.late = threading.Event()  # set when the time of the whole check is over
        self._stack = ExitStack()

    @property
    def client(self) -> docker.DockerClient:
        """The engine, connected at first use. Raises EngineUnavailable."""
        with self._lock:
            if self._client is None:
                self._client = connection.connect()
            if self._volumes is None:
                sweep(self._client)
                self._volumes = NamelessVolumes(self._client, "dockerlab.check", self.id)
        return self._client

    def labels(self) -> dict[str, str]:
        """Put these on every container, network and volume that is made for this check: they say who removes it."""
        return object_labels.labels(kind="check", check=self.id)

    def image_labels(self) -> dict[str, str]:
        """The same for an image, which does not name this process: whatever is made of the image would inherit that."""
        return {object_labels.KIND_LABEL: "check", "dockerlab.check": self.id}

    def name(self, what: str) -> str:
        """A name that nobody else has, for a container, network or volume."""
        return naming.own(f"{object_labels.NAME_PREFIX}lab{self.lab}-{what}-{self.id}")

    def tag(self, what: str) -> str:
        """An image tag that nobody else has; the image under it is removed at the end."""
        tag = f"{IMAGE_PREFIX}{self.lab}-{what}:{self.id}-{process_marks.mark()}"
        self.callback(self._remove_image, tag)
        return tag

    def text(self, name: str) -> str:
        """The learner's file. Raises NotStarted where it is missing or holds nothing but comments and blank lines."""
        path = self.folder / name
        if not os.path.lexists(path):
            raise NotStarted(f"{name} is not there.")
        try:
            if not path.is_file():
                raise OSError("it is a folder, or leads to no file")
            if path.stat().st_size > LARGEST_TEXT:
                raise OSError(f"it holds more than {LARGEST_TEXT / 1e6:.0f} MB")
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            reason = error.strerror or str(error)
            raise CourseError(
                f"{name} is no file that can be read: {reason}.",
                fix="Move it away or change its permissions, and write it anew.",
            ) from error
        if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
            raise NotStarted(f"{name} is still empty.")
        return text

    def scratch(self) -> Path:
        """A new temporary folder, removed at the end; one that a killed check left is known by its name."""
        return Path(self.enter(process_marks.folder("check")))

    def copy(self, part: str = "", also: Sequence[str] = (), given: Sequence[str] = ()) -> Path:
        """A copy of the folder, or a part of it, as a build would send it; removed at the end. A criterion may edit it.

        `also` as in folders.duplicate. What lies below the places `given` is as the lab hands it out: the learner is not asked for it.
        """
        source = self.folder / part
        target = folders.duplicate(source, self.scratch() / source.name, also)
        if given:
            for place in given:
                _discard(target / place)
            workspace.write(target, folders.given(self.lab, *given))
        return target

    def build(
        self,
        what: str,
        folder: Path | None = None,
        *,
        labelled: bool = True,
        seconds: float = BUILD_SECONDS,
        **options: Any,
    ) -> BuildReport:
        """Build a folder, by default a copy of the learner's, under `tag(what)`; ended after `seconds`. Options as in build.build.

        An image that is not `labelled` has the same id each time that it is built from the same files. Asks the engine.
        """
        cancel, late = Cancel(), threading.Event()

        def end() -> None:
            late.set()
            cancel.request()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        if folder is None:
            folder = self.cached("copy", self.copy)
        with self._lock:
            self._builds.add(cancel)
            if self._over:
                cancel.request()
        timer.start()
        try:
            with waiting(f"the build of {what}", seconds):
                marks = self.image_labels() if labelled else {}
                return build(
                    folder, tag=self.tag(what), labels=marks, client=self.client, cancel=cancel, **options
                )
        except BuildCancelled as error:
            if late.is_set():
                raise CourseError(
                    f"The build of {what} was ended after {seconds:.0f} s.",
                    "One of its steps does not end, or waits for the network.",
                    "Run `docker build .` and see at which step it stands.",
                ) from error
            raise
        finally:
            timer.cancel()
            with self._lock:
                self._builds.discard(cancel)

    @contextmanager
    def running(self, what: str, image: str, **options: Any) -> Iterator[container.Running]:
        """`container.running` with this check's name, labels and bounds. Asks the engine."""
        if self._over:
            raise CourseError("The check is over.")
        with ExitStack() as stack:
            with waiting(f"the container {what}", options.get("timeout", 60)):
                marks = self.labels() | dict(options.pop("labels", {}))
                service = stack.enter_context(
                    container.running(
                        image,
                        name=self.name(what),
                        client=self.client,
                        labels=marks,
                        **(dict(BOUNDS) | options),
                    )
                )
            yield service

    def pool(self, workers: int) -> ThreadPoolExecutor:
        """Threads that are waited for when the check ends; an end before time also ends what they wait for."""
        pool = ThreadPoolExecutor(workers)
        self.callback(lambda: pool.shutdown(cancel_futures=True))
        return pool

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """`make()` once for each key, for builds and runs that several criteria look at; an error is kept as well."""
        with self._lock:
            entry = self._cache.setdefault(key, _Once())
        with entry.lock:
            if not entry.done:
                try:
                    entry.value = make()
                except Exception as error:
                    entry.error = error
                entry.done = True
        if entry.error is not None:
            raise entry.error
        value: T = entry.value
        return value

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context manager that is left when the check ends."""
        return self._stack.enter_context(context)

    def callback(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call this when the check ends, last come first served."""
        self._stack.callback(function, *arguments)

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
            self._stack.close()
        finally:
            if self._client is not None:
                self._sweep(self._client)
            if self._volumes is not None:
                self._volumes.close()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End what this check waits for when a block takes longer than this; `late` is set then."""

        def end() -> None:
            self.late.set()
            self._stop()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _stop(self) -> None:
        """End what other threads still wait for: builds, and containers of this check. After Ctrl-C nobody waits for either."""
        with self._lock:
            self._over = True
            builds = list(self._builds)
        for cancel in builds:
            cancel.request()
        if self._client is not None:
            with suppress(DockerException):
                for each in self._client.containers.list(
                    filters={"label": f"dockerlab.check={self.id}"}, ignore_removed=True
                ):
                    with suppress(APIError):
                        container.remove(each)

    def _remove_image(self, tag: str) -> None:
        if self._client is not None:
            with suppress(NotFound, APIError):
                self._client.images.remove(tag, force=True)

    def _sweep(self, client: docker.DockerClient) -> None:
        """Remove by label what no callback knew of."""
        _remove_made(client, self.id)


def sweep(client: docker.DockerClient) -> list[str]:
    """Remove what checks of dead processes left, and then all that `cleanup.sweep` does; returns the names. Asks the engine.

    Containers that a learner's program started carry no mark of a process; they are known by the image of their check.
    """
    gone: list[str] = []
    with suppress(DockerException):
        for entry in client.api.images(name=f"{IMAGE_PREFIX}*", filters=object_labels.owned_images()):
            for tag in entry.get("RepoTags") or []:
                check, _, process = tag.rpartition(":")[2].partition("-")
                if tag.startswith(IMAGE_PREFIX) and not process_marks.alive(process):
                    _remove_made(client, check)
                    with suppress(APIError):
                        client.images.remove(tag, force=True)
                    gone.append(tag)
    return gone + cleanup.sweep(client)


def _remove_made(client: docker.DockerClient, check: str) -> None:
    """Remove whatever carries the label of a check, unless it only inherited it from an image that is not ours. Asks the engine."""
    label = f"dockerlab.check={check}"
    made = {"label": label}
    with suppress(DockerException):
        images = {image.id: image for image in ownership.own_images(client, label)}
        for each in client.containers.list(all=True, filters=made, ignore_removed=True):
            with suppress(APIError):
                if each.attrs["Image"] in images or not ownership.only_inherited(
                    client, each, "dockerlab.check"
                ):
                    container.remove(each)
        for image in images.values():
            ownership.remove_image(client, image)
        for thing in (*client.networks.list(filters=made), *client.volumes.list(filters=made)):
            with suppress(APIError):
                thing.remove()


@contextmanager
def waiting(what: str, seconds: float) -> Iterator[None]:
    """Say once on stderr what is waited for, when that takes longer than PATIENCE seconds; `seconds` is how long it may take.

    Nothing is said where UNATTENDED is set: how long a machine took is no part of what a notebook stores.
    """
    words = f"The check waits for {what}, for at most {seconds:,.0f} s; Ctrl-C ends it."
    timer = threading.Timer(PATIENCE, lambda: print(words, file=sys.stderr, flush=True))
    timer.daemon = True
    if seconds > PATIENCE and UNATTENDED not in os.environ:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def bounds(options: Sequence[str], *, processes: bool = True, memory: bool = False) -> list[str]:
    """Options of `docker run` that bound the log, processes and memory, where these options leave them unbounded. Pure.

    They stand before the learner's own, of which the last word holds.
    """
    names = {word.partition("=")[0] for word in options}
    found = ["--pids-limit", str(BOUNDS["pids_limit"])] if processes else []
    if not names & {"--log-driver", "--log-opt"}:
        found += [
            "--log-driver",
            "json-file",
            *(word for name, value in LOG.items() for word in ("--log-opt", f"{name}={value}")),
        ]
    if memory and not any(
        name.startswith("--memory") or (name.startswith("-m") and not name.startswith("--")) for name in names
    ):
        found += ["--memory", BOUNDS["mem_limit"]]
    return found


def bound(box: Container) -> None:
    """Bound the processes and the memory of a container that a learner's program started, where it sets no such bound itself. Asks the engine.

    Its log cannot be bounded any more. One that is gone, or between two starts, stays as it is.
    """
    with suppress(APIError):
        box.reload()
        host, api = box.attrs["HostConfig"], box.client.api
        wanted = {} if (host.get("PidsLimit") or 0) > 0 else {"PidsLimit": BOUNDS["pids_limit"]}
        wanted |= {} if host.get("Memory") else {"Memory": MEMORY, "MemorySwap": MEMORY}
        if wanted:  # docker-py's own `update` does not know the number of processes
            api._raise_for_status(api._post_json(api._url("/containers/{0}/update", box.id), data=wanted))


def log_of(of: Container, limit: int = 100_000) -> str:
    """The log of a container from its beginning, at most `limit` bytes of it. Asks the engine."""
    kept = b""
    stream = of.logs(stream=True, follow=False)
    for piece in stream:
        kept += piece
        if len(kept) >= limit:
            break
    stream.close()
    return kept[:limit].decode(errors="replace")


def _discard(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Criterion:
    """One promise about behaviour. `needs` names criteria that must hold before this one can be judged."""

    key: str
    promise: str
    why: str
    hint: str
    second_hint: str
    wanted: str
    measure: Callable[[Submission], Outcome]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lab:
    """A list of criteria; `files` are those that a learner writes, `prepare` makes what all criteria look at."""

    number: str
    name: str
    criteria: tuple[Criterion, ...]
    prepare: Callable[[Submission], None] | None = None
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for criterion in self.criteria:
            if criterion.key in seen or not set(criterion.needs) <= seen:
                raise ValueError(f"lab {self.number}: {criterion.key} comes twice, or before what it needs")
            seen.add(criterion.key)


def judge(
    lab: Lab,
    folder: Path,
    client: docker.DockerClient | None = None,
    first: bool = False,
    past: Collection[str] = (),
    seconds: float = CHECK_SECONDS,
) -> Report:
    """Judge one folder. Talks to the engine as far as the criteria do; removes all that was made, also after Ctrl-C.

    With `first` it stops at the first criterion that fails, but for those whose keys are in `past`; what comes after is not checked.
    After `seconds` what it waits for is ended, and the report says what was not judged.
    Errors of the submission become part of the report; EngineUnavailable is raised, since it says nothing about the learner.
    """
    if not folder.is_dir():
        raise CourseError(
            f"There is no folder {folder.name}.",
            fix=f"Run `dockerlab reset {lab.number}` to get the starter.",
        )
    results: list[Result] = []
    with Submission(folder, client, lab.number) as submission, submission.within(seconds):
        stopped, reason = _in_time(submission, lambda: _prepare(lab, submission))
        for criterion in lab.criteria:
            if stopped is Status.NOT_STARTED:
                status, measured = Status.NOT_STARTED, reason
            elif stopped is not Status.PASSED:
                status, measured = Status.NOT_CHECKED, ""
            elif missing := _missing(criterion, results):
                status, measured = Status.NOT_CHECKED, f"needs: {missing}"
            elif first and (failure := _failed(results, past)):
                status, measured = Status.NOT_CHECKED, f"stopped at: {failure}"
            else:
                status, measured = _in_time(submission, partial(criterion.measure, submission))
            results.append(
                Result(
                    criterion.key,
                    criterion.promise,
                    criterion.why,
                    criterion.wanted,
                    measured,
                    status,
                    criterion.hint,
                    criterion.second_hint,
                )
            )
    problem = reason if stopped is Status.FAILED else ""
    if OVER in (reason, *(each.measured for each in results)):
        left = ", ".join(
            str(number) for number, each in enumerate(results, start=1) if each.status is Status.NOT_CHECKED
        )
        problem = f"The check was ended after {seconds:,.0f} s; what it had not judged by then: {left}."
    return Report(lab.number, lab.name, tuple(results), problem)


def _prepare(lab: Lab, submission: Submission) -> Outcome:
    for name in lab.files:
        submission.text(name)
    if lab.prepare is not None:
        lab.prepare(submission)
    return Outcome(True, "")


def _missing(criterion: Criterion, results: list[Result]) -> str:
    return next(
        (
            item.promise
            for item in results
            if item.key in criterion.needs and item.status is not Status.PASSED
        ),
        "",
    )


def _failed(results: list[Result], past: Collection[str]) -> str:
    return next(
        (item.promise for item in results if item.status is Status.FAILED and item.key not in past), ""
    )


def _in_time(submission: Submission, action: Callable[[], Outcome]) -> tuple[Status, str]:
    """`_attempt`, unless the time of the check is over, or is over before it holds: then it may have failed for that alone."""
    status, measured = (Status.NOT_CHECKED, OVER) if submission.late.is_set() else _attempt(action)
    return (
        (Status.NOT_CHECKED, OVER)
        if submission.late.is_set() and status is not Status.PASSED
        else (status, measured)
    )


def _attempt(action: Callable[[], Outcome]) -> tuple[Status, str]:
    try:
        outcome = action()
    except (NotImplementedError, NotStarted) as error:
        return Status.NOT_STARTED, _sentence(error, "raises NotImplementedError")
    except endpoint.EngineUnavailable:
        raise
    except CourseError as error:
        return Status.FAILED, _sentence(error, error.what)
    except Exception as error:  # the learner's program may raise anything
        return Status.FAILED, f"{type(error).__name__}: {_sentence(error, 'no message')}"
    return (Status.PASSED if outcome.ok else Status.FAILED), printable(outcome.measured)


def _sentence(error: Exception, otherwise: str) -> str:
    text = printable(" ".join(str(error).split())) or otherwise
    return text if len(text) <= 300 else f"{text[:299]}…"
