"""Lab 08: three `docker run` lines as a compose file, judged by running the project."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import requests

from dockerlab.containers.compose import Stack, StackFailed, bounded, bounds_memory, with_labels
from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.core.polling import wait_until
from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab, Outcome, Submission
from dockerlab.course.workbench import free_port
from dockerlab.images import base_images

SERVICES = {"api": 8000, "cache": 6379, "db": 5432}
OLD_PASSWORD = "tide-4711"
MOST_BYTES = 512 * 2**20
START_SECONDS, RETURN_SECONDS = 90, 20
WANTED = {("api", "cache"), ("api", "db")}


@dataclass
class _Project:
    """The learner's project while it is judged; what `up` left behind is looked at once, before anything is stopped."""

    stack: Stack
    port: int
    password: str
    config: dict[str, Any]
    warnings: list[str]
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)


def _project(submission: Submission) -> _Project:
    """A copy of the folder with another password, and labels on whatever will be made. Reads the project, starts nothing."""

    def make() -> _Project:
        submission.text("compose.yaml")
        folder = submission.copy(also=("*",), given=("api/berths.py",))
        password = secrets.token_hex(8)
        (folder / "db_password.txt").write_text(password, encoding="utf-8")
        (folder / "db_password.txt").chmod(0o644)
        port = free_port()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")} | {
            "PORT": str(port)
        }
        stack = Stack(folder, submission.name("stack"), ("compose.yaml",), environment)
        read = stack.compose("config", "--format", "json")
        config = json.loads(read.stdout)
        (folder / "labels.json").write_text(
            json.dumps(bounded(with_labels(config, submission.labels()), config)), encoding="utf-8"
        )
        stack.files = ("compose.yaml", "labels.json")
        warnings = [
            line.partition("msg=")[2].strip('"')
            for line in read.stderr.splitlines()
            if "level=warning" in line
        ]
        return _Project(stack, port, password, config, warnings)

    return submission.cached("project", make)


def _up(submission: Submission) -> _Project:
    """The project, started from nothing. Raises StackFailed where compose gives up."""

    def make() -> _Project:
        project = _project(submission)
        for name in (base_images.SLIM, base_images.REDIS, base_images.POSTGRES):
            base_images.ensure(name, submission.client)
        submission.callback(project.stack.down, True)
        try:
            _start(submission, project)
            if "resolve" in _complaint(project):
                # An engine that leaves swarm mode forgets the names of all running containers; that is nobody's mistake here, and a
                # name that is wrong is not found the second time either.
                project.stack.down(volumes=True)
                _start(submission, project)
        finally:
            project.containers = _containers(submission, project)
        return project

    return submission.cached("up", make)


def _start(submission: Submission, project: _Project) -> None:
    project.stack.up(timeout=START_SECONDS, wait=False)
    wait_until(lambda: _settled(submission, project), START_SECONDS, interval=0.3)


def _settled(submission: Submission, project: _Project) -> bool:
    """Whether the API serves, or has shown that it does not: nobody waits for a container that ends again and again."""
    api = _containers(submission, project).get("api")
    return (
        api is None
        or api["RestartCount"] > 0
        or api["State"]["Status"] == "exited"
        or _get(project, "/health") == 200
    )


def _containers(submission: Submission, project: _Project) -> dict[str, dict[str, Any]]:
    mine = {"label": f"com.docker.compose.project={project.stack.project}"}
    return {
        each.labels["com.docker.compose.service"]: each.attrs
        for each in submission.client.containers.list(all=True, filters=mine)
    }


def _reads(submission: Submission) -> Outcome:
    project = _project(submission)
    missing = sorted(set(SERVICES) - set(project.config.get("services") or {}))
    if missing:
        return Outcome(False, f"no service {', '.join(missing)}")
    return Outcome(
        not project.warnings,
        f"warning: {project.warnings[0]}" if project.warnings else "three services, no warning",
    )


def _order(submission: Submission) -> Outcome:
    """The API was there when it was needed and did not end before: waiting by itself is as good as being started late."""
    project = _project(submission)
    failure = ""
    try:
        _up(submission)
    except StackFailed as error:
        failure = str(error)
    api = project.containers.get("api", {})
    if ended := api.get("RestartCount", 0):
        return Outcome(False, f"the API ended {ended} time{'s' if ended > 1 else ''}: {_complaint(project)}")
    if failure:
        return Outcome(False, failure)
    if api.get("State", {}).get("Status") == "exited":
        return Outcome(False, f"the API ended: {_complaint(project)}")
    answers = _get(project, "/health") == 200
    return Outcome(
        answers,
        "up at the first try"
        if answers
        else f"the API does not answer on 127.0.0.1:{project.port}, where PORT says",
    )


def _complaint(project: _Project) -> str:
    """The last thing that the API said before it ended."""
    lines = [
        line for line in project.stack.logs("api", 20).splitlines() if line.strip() and line != "serving"
    ]
    return lines[-1] if lines else "it wrote nothing"


def _get(project: _Project, path: str) -> int:
    try:
        return fetch(f"http://127.0.0.1:{project.port}{path}", 5).status_code
    except requests.RequestException:
        return 0


def _published(submission: Submission) -> Outcome:
    project = _up(submission)
    found = sorted(
        {
            f"{service} on {binding['HostIp'] or '0.0.0.0'}:{'PORT' if binding['HostPort'] == str(project.port) else binding['HostPort']}"
            for service, attrs in project.containers.items()
            for bindings in (attrs["NetworkSettings"]["Ports"] or {}).values()
            for binding in bindings or []
        }
    )
    return Outcome(found == ["api on 127.0.0.1:PORT"], ", ".join(found) or "nothing")


def _reach(submission: Submission) -> Outcome:
    problems = _differences(_up(submission).stack.reachability(SERVICES))
    return Outcome(not problems, "; ".join(problems) or "the API reaches both, they reach nobody")


def _differences(matrix: pd.DataFrame) -> list[str]:
    """What is wrong with a table of who reaches whom. Pure."""
    problems = [
        f"{one} {'does not reach' if (one, other) in WANTED else 'reaches'} {other}"
        for one in matrix.index
        for other in SERVICES
        if one != other and other != "api" and bool(matrix.loc[one, other]) != ((one, other) in WANTED)
    ]
    return problems + [f"{one} has a way out" for one in ("cache", "db") if matrix.loc[one, "outside"]]


def _secret(submission: Submission) -> Outcome:
    project = _up(submission)
    places = {
        f"docker inspect {name}": json.dumps(attrs["Config"]) for name, attrs in project.containers.items()
    }
    places["docker compose config"] = json.dumps(project.config)
    for value in (project.password, OLD_PASSWORD):
        if shown := [place for place, text in places.items() if value in text]:
            return Outcome(False, f"{shown[0]} shows it")
    try:  # not through the loopback, where the image lets everybody in
        asked = f"PGPASSWORD={project.password} psql -U postgres -h $HOSTNAME -tAc 'SELECT 1'"
        opens = project.stack.execute("db", "bash", "-c", asked).strip() == "1"
    except StackFailed:
        opens = False
    return Outcome(
        opens,
        "in no setting, and it opens the database"
        if opens
        else "the password of db_password.txt does not open the database",
    )


def _survives(submission: Submission) -> Outcome:
    project = _up(submission)
    ship = f"Elbe-{submission.id}"
    answer = fetch(f"http://127.0.0.1:{project.port}/arrive", 10, method="POST", params={"ship": ship})
    if not answer.ok:
        return Outcome(False, f"/arrive answers {answer.status_code}: {answer.text[:120]}")
    project.stack.down()
    project.stack.up(timeout=START_SECONDS)
    wait_until(lambda: _get(project, "/health") == 200, 20, interval=0.1)
    kept = ship in fetch(f"http://127.0.0.1:{project.port}/ships", 10).text
    return Outcome(kept, "the ship is still there" if kept else "the ship is gone")


def _steady(measure: Callable[[Submission], Outcome]) -> Callable[[Submission], Outcome]:
    """Measure once more where the engine has forgotten the names of running containers, as it does when it leaves swarm mode."""

    def twice(submission: Submission) -> Outcome:
        try:
            outcome = measure(submission)
        except (StackFailed, requests.RequestException) as error:
            outcome = Outcome(False, str(error))
        stack = _up(submission).stack
        if (
            outcome.ok
            or stack.compose("exec", "-T", "db", "getent", "hosts", "db", check=False).returncode == 0
        ):
            return outcome
        stack.down()
        stack.up(timeout=START_SECONDS)
        return measure(submission)

    return twice


def _returns(submission: Submission) -> Outcome:
    project = _up(submission)
    wait_until(lambda: _get(project, "/health") == 200, 10, interval=0.1)
    begun = time.monotonic()
    with suppress(requests.RequestException):
        fetch(f"http://127.0.0.1:{project.port}/crash", 5, method="POST")
    gone: list[bool] = []

    def over() -> bool:
        gone.append(_containers(submission, project)["api"]["State"]["Status"] == "exited")
        return _get(project, "/health") == 200 or all(gone[-3:]) and len(gone) > 3

    back = wait_until(over, RETURN_SECONDS, interval=0.3) and not gone[-1]
    return Outcome(back, f"back after {time.monotonic() - begun:.1f} s" if back else "it stays away")


def _limits(submission: Submission) -> Outcome:
    project = _up(submission)
    limits = {name: attrs["HostConfig"] for name, attrs in project.containers.items() if name in SERVICES}
    for name, host in sorted(limits.items()):
        if not bounds_memory(
            project.config["services"][name]
        ):  # what the engine says is the check's own bound then
            return Outcome(False, f"{name} has no memory limit")
        if not 0 < host["Memory"] <= MOST_BYTES:
            return Outcome(False, f"{name}: {host['Memory'] // 2**20} MiB")
    cpus = limits["api"]["NanoCpus"] / 1e9 or (
        limits["api"].get("CpuQuota", 0) / (limits["api"].get("CpuPeriod") or 100_000)
    )
    return Outcome(0 < cpus <= 1, f"api: {cpus:g} CPUs" if cpus else "api has no CPU limit")


def _prepare(submission: Submission) -> None:
    if not (submission.folder / "api" / "berths.py").is_file():
        raise CourseError(
            "The folder api/ is not there.", fix="Run `dockerlab reset 08`; your version is kept."
        )
    _project(submission)


LAB = Lab(
    number="08",
    name="compose three lines",
    files=("compose.yaml",),
    prepare=_prepare,
    criteria=criteria.read(
        "08",
        {
            "reads": _reads,
            "order": _order,
            "published": _published,
            "reach": _steady(_reach),
            "secret": _secret,
            "limits": _limits,
            "survives": _steady(_survives),
            "returns": _steady(_returns),
        },
        RETURN_SECONDS=RETURN_SECONDS,
    ),
)
