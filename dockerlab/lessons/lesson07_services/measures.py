"""The drills of lab 07: what is done to the submission's containers, and what they find out, for the promises to read.

Every drill has a container of its own, started by the learner's start(), and all of them run at the same time. Each asks the engine.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import requests
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from dockerlab.containers import container
from dockerlab.containers.events import health
from dockerlab.core import polling
from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.core.settings import ROOT
from dockerlab.course.grading.calls import Caller
from dockerlab.course.grading.judging import Outcome, Submission, bound, log_of
from dockerlab.course.workbench import free_port
from dockerlab.images import base_images

SERVICE = ROOT / "assets" / "counting-service" / "service.py"
START, GREEN, RED, BACK, STOP = 10, 15, 16, 10, 2  # seconds
PATIENCE = 4  # seconds of docker stop
REPORT_SECONDS = 1.2
MEMORY_MB, SMALL_MB, LARGE_MB = 128, 40, 400
LINES, LINE_BYTES, LOG_MB = 80_000, 101, 5
NIGHT_MB = LINES * LINE_BYTES / 1e6
NIGHT_BYTES = 2 * LINES * LINE_BYTES  # more of a log is not read
DRILLS = ("hang", "health", "stop", "crash")  # the longest first


class Box:
    """One container that the learner's start() made, and the address that it was to have."""

    def __init__(self, submission: Submission, drill: str) -> None:
        self.submission, self.drill = submission, drill
        self.name, self.data, self.port = (
            submission.name(drill),
            submission.name(f"{drill}-data"),
            free_port(),
        )
        submission.client.volumes.create(self.data, labels=submission.labels())

    @property
    def url(self) -> str:
        """Where the service was to answer."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def container(self) -> Container:
        """The container of that name. Raises CourseError where start() left none."""
        try:
            return self.submission.client.containers.get(self.name)
        except NotFound as error:
            raise CourseError(
                f"start() left no container called {self.name}.", fix="Hand `name` on."
            ) from error

    def start(self) -> None:
        """Call the learner's function, and bound what it left; the log is one of the promises."""
        with self.submission.state["lock"]:
            self.submission.state["call"].call(
                "start", self.submission.state["tag"], self.name, self.port, self.data
            )
        with suppress(CourseError):
            bound(self.container)

    def remove(self) -> None:
        """Remove the container; named volumes stay."""
        with suppress(NotFound, APIError):
            container.remove(self.submission.client.containers.get(self.name))

    def answers(self, seconds: float = START) -> bool:
        """Whether the service answers within this time."""
        return polling.wait_until(lambda: self.get("/").startswith("2"), seconds, interval=0.05)

    def get(self, path: str, timeout: float = 2) -> str:
        """Status and text of GET, or "" without an answer."""
        return _said(lambda: fetch(self.url + path, timeout))

    def post(self, path: str, timeout: float = 2) -> str:
        """Status and text of POST, or "" without an answer."""
        return _said(lambda: fetch(self.url + path, timeout, method="POST"))

    def turns(self, wanted: str, seconds: float, never: str = "") -> tuple[bool, str, float]:
        """Whether its health becomes `wanted` in time and is never `never` before; what it was at last, and the seconds that it took."""
        started, found = time.monotonic(), self.container
        polling.wait_until(lambda: health(found) in (wanted, never, "none"), seconds, interval=0.1)
        last = health(found)
        return last == wanted, last, time.monotonic() - started

    def clear(self) -> None:
        """Remove the container and the volume that the check had made for it."""
        self.remove()
        with suppress(NotFound, APIError):
            self.submission.client.volumes.get(self.data).remove(force=True)


def _said(ask: Callable[[], requests.Response]) -> str:
    try:
        answer = ask()
        return f"{answer.status_code} {answer.text}"
    except requests.RequestException:
        return ""


def begin(submission: Submission) -> None:
    """Build the image with the service as the other team has it, start a container for each drill, and begin the drills."""
    base_images.ensure(base_images.SLIM, submission.client)
    folder = submission.copy()
    shutil.copy(SERVICE, folder / "service.py")
    tag = submission.build("counter", folder).tag
    call = Caller(submission.folder, module="run")
    submission.callback(call.close)
    submission.state |= {"tag": tag, "call": call, "lock": threading.Lock()}
    boxes = {drill: Box(submission, drill) for drill in DRILLS}
    pool = submission.pool(len(DRILLS))
    submission.callback(lambda: list(pool.map(Box.clear, boxes.values())))
    steps = {"hang": _hang, "health": _health, "crash": _crash, "stop": _night_and_stop}
    submission.state |= {"boxes": boxes, "drills": {}}
    for drill, box in boxes.items():
        box.start()
        submission.state["drills"][drill] = pool.submit(steps[drill], box)


def result(drill: str, key: str) -> Callable[[Submission], Outcome]:
    """The measuring function of a criterion: what the drill found out under this key."""

    def measure(submission: Submission) -> Outcome:
        future: Future[dict[str, Outcome]] = submission.state["drills"][drill]
        return future.result()[key]

    return measure


# --- the drills


def _health(box: Box) -> dict[str, Outcome]:
    green_, last, seconds = box.turns("healthy", GREEN, never="unhealthy")
    found = {"green": Outcome(green_, _said_health(last, seconds, box))}
    if green_:
        box.post("/trouble?kind=sick")
        red_, last, seconds = box.turns("unhealthy", RED)
        box.post("/trouble?kind=none")
        measured = _said_health(last, seconds, box)
        if red_:
            red_, last, again = box.turns("healthy", RED)
            measured += (
                f", {last} again after {again:.1f} s"
                if red_
                else f", still {last} {again:.0f} s after the trouble"
            )
        found["red"] = Outcome(red_, measured)
    return found


def _said_health(state: str, seconds: float, box: Box) -> str:
    if state == "none":
        return "there is no health check"
    log = box.container.attrs["State"]["Health"].get("Log") or []
    lines = log[-1]["Output"].strip().splitlines() if log and log[-1]["ExitCode"] else []
    last = lines[-1][:90] if lines else ""
    return f"{state} after {seconds:.1f} s" + (
        f"; the last probe: {last}" if last and state != "healthy" else "" if log else "; no probe yet"
    )


def _hang(box: Box) -> dict[str, Outcome]:
    if not box.turns("healthy", GREEN)[0]:
        return {"hang": Outcome(False, "was never healthy")}
    box.post("/trouble?kind=hang")
    ok, last, seconds = box.turns("unhealthy", RED)
    box.post("/trouble?kind=none")
    return {"hang": Outcome(ok, f"{last} after {seconds:.1f} s")}


def _crash(box: Box) -> dict[str, Outcome]:
    found = {"runs": Outcome(box.answers(), "it answers"), "crash": Outcome(True, "back after both")}
    for number in ("first", "second"):
        box.post("/crash")
        if not box.answers(BACK):
            found["crash"] = Outcome(False, f"{_status(box)} after the {number} crash")
            return found
    return found | {"memory": _take_too_much(box)}


def _status(box: Box) -> str:
    state = box.container.attrs["State"]
    return f"{state['Status']}, exit code {state['ExitCode']}"


def _take_too_much(box: Box) -> Outcome:
    if not box.get(f"/picture?mb={SMALL_MB}", 10).startswith("2"):
        return Outcome(False, f"an ordinary picture of {SMALL_MB} MB is not drawn")
    if box.get(f"/picture?mb={LARGE_MB}", 10).startswith("2"):
        return Outcome(False, f"it took {LARGE_MB} MB of the machine")
    back = box.answers(BACK)
    host = box.container.attrs["HostConfig"]
    both = host["MemorySwap"] if box.submission.client.info().get("SwapLimit") else host["Memory"]
    limit = f"limit {both / 2**20:.0f} MB with swap"
    if not 0 < both <= MEMORY_MB * 2**20:
        return Outcome(False, limit if both > 0 else "swap has no limit")
    return Outcome(back, f"{limit}; {'back after it' if back else _status(box)}")


def _night_and_stop(box: Box) -> dict[str, Outcome]:
    box.answers()
    outcomes = {"logs": _logs(box)}
    for _ in range(3):
        counted = box.post("/count")
    found = box.container
    begun = time.monotonic()
    found.stop(timeout=PATIENCE)
    seconds, code = time.monotonic() - begun, found.wait(timeout=30)["StatusCode"]
    outcomes["stop"] = Outcome(seconds < STOP and code != 137, f"{seconds:.1f} s, exit code {code}")
    box.remove()
    box.start()  # a new container, and the same volume
    box.answers()
    shown = box.get("/").partition(" ")[2]
    outcomes["data"] = Outcome(
        counted == "200 3" and shown == "3",
        f"{shown or 'no answer'} after {counted.partition(' ')[2] or 'no answer'}",
    )
    return outcomes | {"finish": _stop_while_busy(box)}


def _stop_while_busy(box: Box) -> Outcome:
    said: list[str] = []
    asking = threading.Thread(target=lambda: said.append(box.get(f"/report?seconds={REPORT_SECONDS}", 15)))
    asking.start()
    time.sleep(0.5)
    box.container.stop(timeout=PATIENCE)
    asking.join(20)
    return Outcome(
        said == ["200 the report"], "answered" if said == ["200 the report"] else "the connection broke"
    )


def _logs(box: Box) -> Outcome:
    if not box.post(f"/night?lines={LINES}", 30).startswith("2"):
        return Outcome(False, "the service did not get through the night")
    try:
        polling.wait_until(lambda: b"the night is over" in box.container.logs(tail=1), 5, interval=0.2)
        kept = log_of(box.container, NIGHT_BYTES)
    except APIError as error:
        return Outcome(False, f"`docker logs` says: {error.explanation}")
    newest = b"the night is over" in box.container.logs(tail=1)
    size = f"{len(kept) / 1e6:.1f} MB"
    return Outcome(
        newest and len(kept) <= LOG_MB * 1e6, size if newest else f"{size}, and the last line is missing"
    )


# --- what the promises read


def runs(submission: Submission) -> Outcome:
    """All containers answer."""
    silent = [
        box for box in submission.state["boxes"].values() if not box.answers() and not _was_stopped(box)
    ]
    if not silent:
        return Outcome(True, "it answers")
    lines = silent[0].container.logs(tail=1).decode(errors="replace").strip()[:120]
    return Outcome(False, f"no answer; {_status(silent[0])}: {lines or 'no line in the log'}")


def _was_stopped(box: Box) -> bool:
    """Whether the drill itself has ended it."""
    return box.drill in ("stop", "crash")


def private(submission: Submission) -> Outcome:
    """Every binding of the container names 127.0.0.1."""
    found = submission.state["boxes"]["health"].container
    if found.attrs["HostConfig"]["NetworkMode"] == "host":
        return Outcome(False, "the network of the host, all ports open")
    addresses = {
        binding["HostIp"] or "0.0.0.0"
        for bindings in found.attrs["NetworkSettings"]["Ports"].values()
        for binding in bindings or []
    }
    return Outcome(
        addresses <= {"127.0.0.1", "::1"}, f"published on {', '.join(sorted(addresses)) or 'nothing'}"
    )
