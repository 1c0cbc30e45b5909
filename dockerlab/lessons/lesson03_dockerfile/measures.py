"""What the checks of lab 03 measure: one image built, run, stopped, edited and rebuilt as its specification says."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError
from docker.models.containers import Container

from dockerlab.containers import container, inspection
from dockerlab.containers.container import ContainerFailed
from dockerlab.core import polling, units
from dockerlab.core.fetch import TooLarge, fetch
from dockerlab.course import workspace
from dockerlab.course.grading import pictures
from dockerlab.course.grading.judging import BOUNDS, Outcome, Submission
from dockerlab.detection import api_client, variants
from dockerlab.images import base_images, image, image_report, secret_scan
from dockerlab.images.build_report import BuildReport

UID, PORT, OTHER_PORT = 10001, 8000, 9000
DEFAULT, OVERRIDE = 0.7, 0.93  # CONFIDENCE in the image, and what a run sets instead
STOP_SECONDS, START_SECONDS, HEALTH_SECONDS = 5.0, 180.0, 60.0
UNREACHED = (
    5  # rounds in which the server answers inside and nobody does outside, before that is called the cause
)
CONTEXT_BYTES, NEW_BYTES = 150_000, 1_000_000
PICTURE, VERSION, MARK = "harbour-noon.jpg", "7.8.9", "org.example.base"
TITLE_LABEL, VERSION_LABEL = "org.opencontainers.image.title", "org.opencontainers.image.version"
# What lies about in a working folder; the same bytes every time, so that a build which takes them in can be cached. Each file holds the
# same words, so that it is known by its content whatever it is called in the image.
WORDS = b"correct-horse-of-this-folder"
LITTER = {
    ".env": b"DB_PASSWORD=" + WORDS + b"\n",
    "deploy.pem": b"a private key would stand here: " + WORDS + b"\n",
    ".git/config": b"[core]\n\tbare = false\n# " + WORDS + b"\n",
    ".git/objects/pack/pack-1.pack": WORDS + bytes(2_000_000),
    "venv/lib/python3.9/site-packages/big.so": WORDS + bytes(3_000_000),
    "app/__pycache__/main.cpython-39.pyc": WORDS + bytes(40_000),
}
GIVEN = ("app/", "requirements-onnx.txt")
# How often health is asked while it is judged (nanoseconds, as the engine wants them); the image's own pace may be slower.
QUICK = {"interval": 500_000_000, "start_period": 1_000_000, "retries": 2}
KNOCK = f"import socket; socket.create_connection(('127.0.0.1', {PORT}), 2)"


@dataclass(frozen=True)
class Service:
    """A container that answers /health: the port inside that does, and its address on this machine."""

    box: Container
    port: int
    url: str


def litter(folder: Path) -> Path:
    """Put into a folder what lies about in a working folder: a history, an environment, a cache, secrets. Returns the folder."""
    workspace.write(folder, LITTER)
    return folder


def prepare(submission: Submission) -> None:
    """Make present what the learner's Dockerfile names. Asks the engine."""
    base_images.ensure(base_images.SLIM, submission.client)
    variants.have_rung("multistage", submission.client)


def built(submission: Submission) -> BuildReport:
    """The learner's image, built without any option from a littered copy of the folder."""
    return submission.cached("image", lambda: _build(submission, "image"))


def _build(submission: Submission, what: str, **options: Any) -> BuildReport:
    return submission.build(
        what, submission.cached("folder", lambda: litter(submission.copy(given=GIVEN))), **options
    )


def _attrs(submission: Submission, report: BuildReport) -> dict[str, Any]:
    document: dict[str, Any] = submission.client.images.get(report.image_id).attrs
    return document


def _contents(submission: Submission) -> image_report.ImageReport:
    return submission.cached(
        "contents", lambda: image.inspect(built(submission).tag or "", submission.client)
    )


def other_arguments(default: Sequence[str] | None) -> list[str]:
    """The image's CMD with another port: what somebody would write behind the image's name."""
    return [word.replace(str(PORT), str(OTHER_PORT)) for word in default or []]


@contextlib.contextmanager
def _box(
    submission: Submission, what: str, command: Sequence[str] | None = None, **options: Any
) -> Iterator[Container]:
    """A started container of the image, removed when the block ends. Raises ContainerFailed where the engine cannot start it."""
    box = submission.client.containers.create(
        built(submission).tag,
        command,
        name=submission.name(what),
        labels=submission.labels(),
        healthcheck=dict(QUICK),
        **BOUNDS,
        **options,
    )
    try:
        try:
            box.start()
        except APIError as error:
            raise ContainerFailed(
                f"The container does not start: {str(error.explanation).splitlines()[0]}."
            ) from error
        yield box
    finally:
        container.remove(box)


def _boxes(submission: Submission) -> Mapping[str, Container]:
    """Three containers, started at once so that they get ready side by side: as it is, without a model, told otherwise."""

    def start() -> dict[str, Container]:
        here = {f"{port}/tcp": ("127.0.0.1", None) for port in (PORT, OTHER_PORT)}
        told = other_arguments(_attrs(submission, built(submission))["Config"].get("Cmd"))
        return {
            "main": submission.enter(_box(submission, "main", ports=here)),
            "sick": submission.enter(_box(submission, "sick", environment={"MODEL_PATH": "/nowhere.onnx"})),
            "told": submission.enter(
                _box(submission, "told", told or None, environment={"CONFIDENCE": str(OVERRIDE)}, ports=here)
            ),
        }

    return submission.cached("boxes", start)


def service(submission: Submission, name: str) -> Service:
    """One of the containers, once it answers. Raises ContainerFailed that says what it does instead."""
    return submission.cached(("service", name), lambda: _reached(_boxes(submission)[name]))


def _reached(box: Container) -> Service:
    """Wait until /health answers on one of the two ports; give up early where the server can only be reached from inside."""
    deadline, patience, said, inside = time.monotonic() + START_SECONDS, time.monotonic() + 6, "", 0
    while time.monotonic() < deadline:
        for port in (PORT, OTHER_PORT):
            try:
                if url := container.published(box, port):
                    reply = fetch(f"{url}/health", 2)
                    if reply.status_code == 200:
                        return Service(box, port, url)
                    said = f"/health answers {reply.status_code}: {reply.text[:100]}"
            except requests.Timeout:
                said = "/health takes longer than 2 s"
            except TooLarge as error:
                said = error.what
            except requests.RequestException:
                continue
        if box.status in ("exited", "dead"):
            lines = [line for line in box.logs(tail=5).decode(errors="replace").splitlines() if line.strip()]
            raise ContainerFailed(
                f"The container ended with exit code {box.attrs['State']['ExitCode']}: {lines[-1].strip() if lines else 'no word'}"
            )
        if (
            inside >= UNREACHED and not said
        ):  # it listened before these rounds' questions, and they still found nobody
            raise ContainerFailed(
                f"The server listens on 127.0.0.1:{PORT} inside the container, where no published port leads."
            )
        if "cannot be loaded" in said:
            raise ContainerFailed(f"{said}. {_log_line(box, 'cannot be loaded')}")
        inside += time.monotonic() > patience and _knocked(box)
        time.sleep(0.1)
    raise ContainerFailed(said or f"/health did not answer within {START_SECONDS:g} s.")


def _knocked(box: Container) -> bool:
    """Whether somebody listens inside, as the image's own Python finds."""
    try:
        return container.execute(box, ["python3", "-c", KNOCK])[0] == 0
    except container.NoEnd:
        return False


def _log_line(box: Container, word: str) -> str:
    """The last line of a container's log that holds a word."""
    lines = [line.strip() for line in box.logs(tail=20).decode(errors="replace").splitlines() if word in line]
    return f"Its log: {lines[-1][:160]}" if lines else ""


def builds(submission: Submission) -> Outcome:
    """The image builds."""
    report = built(submission)
    return Outcome(True, f"{len(report.instructions)} steps, {len(report.cached)} of them from the cache")


def same_boxes(submission: Submission) -> Outcome:
    """It finds what PyTorch found on every sample picture, and what was drawn on pictures that nobody has seen."""
    return pictures.judged(service(submission, "main").url, submission.scratch())


def context_size(submission: Submission) -> Outcome:
    """What the build sends from a littered folder."""
    sent = built(submission).context_bytes
    return Outcome(sent <= CONTEXT_BYTES, f"{sent / 1e3:,.0f} kB")


def leftovers(submission: Submission) -> Outcome:
    """No layer holds a piece of litter, not even one that a later layer deletes."""
    found = [
        name
        for layer in _contents(submission).layers
        for name in LITTER
        if any(f"/{path}".endswith(f"/{name}") for path in layer.files)
    ]
    if not found:
        renamed = secret_scan.find(
            built(submission).tag or "", WORDS.decode(), submission.client, below=(base_images.SLIM,)
        )
        return Outcome(
            not renamed,
            f"a file of the folder under another name: {', '.join(renamed[:3])}"
            if renamed
            else "none of them",
        )
    unseen = [
        name
        for name in found
        if not any(f"/{path}".endswith(f"/{name}") for path in _contents(submission).paths())
    ]
    return Outcome(
        False,
        f"{', '.join(dict.fromkeys(found))}{' (deleted by a later line, and still in its layer)' if unseen else ''}",
    )


def user(submission: Submission) -> Outcome:
    """Every process runs as the wanted user."""
    users = sorted(
        inspection.look(submission.client, service(submission, "main").box, labels=submission.labels()).users
    )
    return Outcome(users == [UID], f"user {', '.join(map(str, users))}")


def health(submission: Submission) -> Outcome:
    """A running container becomes healthy."""
    box = service(submission, "main").box
    state = _health(box, "healthy")
    if state == "healthy":
        return Outcome(True, state)
    return Outcome(False, f"{state}: {_last_check(box)}" if state != "none" else "no health check")


def sick(submission: Submission) -> Outcome:
    """A container whose model is missing must never be called healthy."""
    state = _health(_boxes(submission)["sick"], "unhealthy")
    return Outcome(state == "unhealthy", state)


def _health(box: Container, wanted: str) -> str:
    """The health state once it is settled, `none` without a check."""

    def settled() -> bool:
        box.reload()
        return _state(box) in ("none", "healthy", "unhealthy") or box.status != "running"

    def reached() -> bool:
        return settled() and (_state(box) in (wanted, "none") or box.status != "running")

    polling.wait_until(settled, HEALTH_SECONDS, interval=0.1)
    # The first answer may come before the server is up: give the other state the time of some more checks.
    polling.wait_until(reached, 4, interval=0.1)
    return _state(box) if box.status == "running" else "ended"


def _state(box: Container) -> str:
    status: str = box.attrs["State"].get("Health", {}).get("Status", "none")
    return status


def _last_check(box: Container) -> str:
    log = box.attrs["State"].get("Health", {}).get("Log") or []
    text = " ".join(log[-1].get("Output", "").split()) if log else ""
    at = text.find('exec: "')
    return (text[at:] if at >= 0 else text)[:120] or "its check has not answered"


def settings(submission: Submission) -> Outcome:
    """CONFIDENCE has its default in the image, and a run may set it."""
    wanted = [
        sum(box.score > limit for box in api_client.recorded()[PICTURE].detections)
        for limit in (DEFAULT, OVERRIDE)
    ]
    found = [_count(service(submission, name).url) for name in ("main", "told")]
    return Outcome(
        found == wanted,
        f"{found[0]} boxes as it is, {found[1]} with -e CONFIDENCE={OVERRIDE}, wanted {wanted[0]} and {wanted[1]}",
    )


def _count(url: str) -> int:
    """How many boxes the server finds with the threshold that it has itself."""
    picture = next(path for path in api_client.samples() if path.name == PICTURE)
    reply = fetch(
        f"{url}/detect", 30, method="POST", files={"image": (PICTURE, picture.read_bytes(), "image/jpeg")}
    )
    reply.raise_for_status()
    return len(reply.json()["detections"])


def arguments(submission: Submission) -> Outcome:
    """The default arguments, with another port in them, written behind the image's name."""
    told = other_arguments(_attrs(submission, built(submission))["Config"].get("Cmd"))
    if not any(str(OTHER_PORT) in word for word in told):
        return Outcome(
            False,
            f"CMD is {json.dumps([word.replace(str(OTHER_PORT), str(PORT)) for word in told])}, without a port that arguments could replace",
        )
    running = service(submission, "told")
    return Outcome(running.port == OTHER_PORT, f"it serves on port {running.port}")


def ports(submission: Submission) -> Outcome:
    """`docker run -P` publishes the server's port."""
    # Which is what the image exposes; nothing is published here, since -P opens it to the whole network.
    exposed = sorted(_attrs(submission, built(submission))["Config"].get("ExposedPorts") or {})
    return Outcome(
        exposed == [f"{PORT}/tcp"],
        f"port {', '.join(name.removesuffix('/tcp') for name in exposed)}" if exposed else "no port",
    )


def rebuild(submission: Submission) -> Outcome:
    """Edit one line of the code and build again: the layers with the packages stay, and almost nothing is new."""
    before = _attrs(submission, built(submission))["RootFS"]["Layers"]
    packages = {
        digest
        for digest, layer in zip(before, _contents(submission).layers, strict=True)
        if any("/onnxruntime/" in path for path in layer.files)
    }
    folder = litter(submission.copy(given=GIVEN))
    variants.edit_one_line(folder, uuid.uuid4().hex)  # a mark that no earlier build has seen
    report = submission.build("edited", folder)
    steps = f"{len(report.ran)} of {len(report.instructions)} steps ran"
    if not packages <= set(_attrs(submission, report)["RootFS"]["Layers"]):
        return Outcome(False, f"{steps}, and the packages are new")
    new = sum(
        layer.disk_bytes
        for layer in image.new_layers(built(submission).image_id, report.image_id, submission.client)
    )
    return Outcome(
        new <= NEW_BYTES, steps if new <= NEW_BYTES else f"{steps}, {units.mb(new)} of the image are new"
    )


def stop(submission: Submission) -> Outcome:
    """`docker stop` ends it in time, by itself."""
    box = service(submission, "main").box
    seconds, code = _stopped(box)
    if code in (0, 143) and seconds >= STOP_SECONDS:
        # It heard the signal: a busy machine may have been what was slow, so once more.
        box.start()
        _reached(box)
        again, code = _stopped(box)
        seconds = min(seconds, again)
    return Outcome(seconds < STOP_SECONDS and code in (0, 143), f"{seconds:.1f} s, exit code {code}")


def _stopped(box: Container) -> tuple[float, int]:
    """Stop a container: seconds until it has ended, and its exit code."""
    started = time.monotonic()
    box.stop()
    seconds = time.monotonic() - started
    box.reload()
    return seconds, int(box.attrs["State"]["ExitCode"])


def base(submission: Submission) -> Outcome:
    """`--build-arg BASE=…` chooses the base: one that differs from the default in a label."""
    inherited = (_attrs(submission, _variant(submission))["Config"].get("Labels") or {}).get(MARK)
    return Outcome(
        inherited == submission.id,
        "it begins from the other base"
        if inherited == submission.id
        else "it begins from the same base as ever",
    )


def labels(submission: Submission) -> Outcome:
    """Title and version are labels; the version is that of `--build-arg VERSION=…`."""
    found = _attrs(submission, _variant(submission))["Config"].get("Labels") or {}
    title, version = found.get(TITLE_LABEL), found.get(VERSION_LABEL)
    return Outcome(bool(title) and version == VERSION, f"title {title!r}, version {version!r}")


def _variant(submission: Submission) -> BuildReport:
    """The image built with both arguments."""

    def make() -> BuildReport:
        folder = submission.scratch()
        (folder / "Dockerfile").write_text(
            f"FROM {base_images.SLIM}\nLABEL {MARK}={submission.id}\n", encoding="utf-8"
        )
        return _build(
            submission,
            "variant",
            buildargs={"BASE": submission.build("base", folder).tag, "VERSION": VERSION},
        )

    return submission.cached("variant", make)
