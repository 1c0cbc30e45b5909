"""What a lab promises and how a submission is judged: by what it does, never by how it is written."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Hashable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, NotFound

from dockerlab import clean, engine
from dockerlab.checks.report import Report, Result, Status
from dockerlab.checks.volumes import NamelessVolumes
from dockerlab.errors import CourseError

T = TypeVar("T")


class NotStarted(CourseError):
    """A file that the learner writes is missing or still empty."""


@dataclass(frozen=True)
class Outcome:
    """Whether a criterion holds, and the value that was measured, ready to print."""

    ok: bool
    measured: str


class Submission:
    """One learner's folder while it is judged; everything made for it is removed when the `with` block ends.

    `state` is free for what `prepare` finds out and the criteria need.
    """

    def __init__(self, folder: Path, client: docker.DockerClient | None = None, lab: str = "lab") -> None:
        self.folder, self.lab = folder, lab
        self.id = uuid.uuid4().hex[:10]
        self.state: dict[str, Any] = {}
        self._client = client
        self._volumes: NamelessVolumes | None = None
        self._cache: dict[Hashable, Any] = {}
        self._stack = ExitStack()

    @property
    def client(self) -> docker.DockerClient:
        """The engine, connected at first use. Raises EngineUnavailable."""
        if self._client is None:
            self._client = engine.connect()
        if self._volumes is None:
            self._volumes = NamelessVolumes(self._client, "dockerlab.check", self.id)
        return self._client

    def labels(self) -> dict[str, str]:
        """Put these on whatever is made for this check: they say who removes it."""
        return engine.labels(kind="check", check=self.id)

    def name(self, what: str) -> str:
        """A name that nobody else has, for a container, network or volume."""
        return f"{engine.NAME_PREFIX}lab{self.lab}-{what}-{self.id}"

    def tag(self, what: str) -> str:
        """An image tag that nobody else has; the image under it is removed at the end."""
        tag = f"{engine.NAME_PREFIX}lab{self.lab}-{what}:{self.id}"
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
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            reason = error.strerror or str(error)
            raise CourseError(f"{name} is no file that can be read: {reason}.", fix="Move it away or change its permissions, and write it anew.") from error
        if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
            raise NotStarted(f"{name} is still empty.")
        return text

    def copy(self) -> Path:
        """A copy of the folder that a criterion may edit; removed at the end."""
        parent = Path(self.enter(tempfile.TemporaryDirectory(prefix="dockerlab-check-")))
        return Path(shutil.copytree(self.folder, parent / self.folder.name, ignore=shutil.ignore_patterns("__pycache__")))

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """`make()` once for each key, for builds and runs that several criteria look at; an error is kept as well."""
        if key not in self._cache:
            try:
                self._cache[key] = (make(), None)
            except (Exception, NotImplementedError) as error:
                self._cache[key] = (None, error)
        value, error = self._cache[key]
        if error is not None:
            raise error
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
            self._stack.close()
        finally:
            if self._client is not None:
                self._sweep(self._client)
            if self._volumes is not None:
                self._volumes.close()

    def _remove_image(self, tag: str) -> None:
        if self._client is not None:
            with suppress(NotFound, APIError):
                self._client.images.remove(tag, force=True)

    def _sweep(self, client: docker.DockerClient) -> None:
        """Remove by label what no callback knew of."""
        mine = {"label": f"dockerlab.check={self.id}"}
        with suppress(DockerException):
            for container in client.containers.list(all=True, filters=mine):
                with suppress(APIError):
                    container.remove(force=True, v=True)
            for image in clean.listed(client, mine):
                with suppress(APIError):
                    client.images.remove(image.id, force=True)
            for thing in (*client.networks.list(filters=mine), *client.volumes.list(filters=mine)):
                with suppress(APIError):
                    thing.remove()


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


def judge(lab: Lab, folder: Path, client: docker.DockerClient | None = None, first: bool = False, past: Collection[str] = ()) -> Report:
    """Judge one folder. Talks to the engine as far as the criteria do; removes all that was made, also after Ctrl-C.

    With `first` it stops at the first criterion that fails, but for those whose keys are in `past`; what comes after is not checked.
    Errors of the submission become part of the report; EngineUnavailable is raised, since it says nothing about the learner.
    """
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder.name}.", fix=f"Run `dockerlab reset {lab.number}` to get the starter.")
    results: list[Result] = []
    with Submission(folder, client, lab.number) as submission:
        stopped, reason = _attempt(lambda: _prepare(lab, submission))
        for criterion in lab.criteria:
            if stopped is Status.NOT_STARTED:
                status, measured = Status.NOT_STARTED, reason
            elif stopped is Status.FAILED:
                status, measured = Status.NOT_CHECKED, ""
            elif missing := _missing(criterion, results):
                status, measured = Status.NOT_CHECKED, f"needs: {missing}"
            elif first and (failure := _failed(results, past)):
                status, measured = Status.NOT_CHECKED, f"stopped at: {failure}"
            else:
                status, measured = _attempt(lambda criterion=criterion: criterion.measure(submission))
            results.append(
                Result(
                    criterion.key, criterion.promise, criterion.why, criterion.wanted, measured, status, criterion.hint, criterion.second_hint
                )
            )
    return Report(lab.number, lab.name, tuple(results), problem=reason if stopped is Status.FAILED else "")


def _prepare(lab: Lab, submission: Submission) -> Outcome:
    for name in lab.files:
        submission.text(name)
    if lab.prepare is not None:
        lab.prepare(submission)
    return Outcome(True, "")


def _missing(criterion: Criterion, results: list[Result]) -> str:
    return next((item.promise for item in results if item.key in criterion.needs and item.status is not Status.PASSED), "")


def _failed(results: list[Result], past: Collection[str]) -> str:
    return next((item.promise for item in results if item.status is Status.FAILED and item.key not in past), "")


def _attempt(action: Callable[[], Outcome]) -> tuple[Status, str]:
    try:
        outcome = action()
    except (NotImplementedError, NotStarted) as error:
        return Status.NOT_STARTED, _sentence(error, "raises NotImplementedError")
    except engine.EngineUnavailable:
        raise
    except CourseError as error:
        return Status.FAILED, _sentence(error, error.what)
    except Exception as error:  # the learner's program may raise anything
        return Status.FAILED, f"{type(error).__name__}: {_sentence(error, 'no message')}"
    return (Status.PASSED if outcome.ok else Status.FAILED), outcome.measured


def _sentence(error: Exception, otherwise: str) -> str:
    text = " ".join(str(error).split()) or otherwise
    return text if len(text) <= 300 else f"{text[:299]}…"
