"""How the images of lab 06 behave at the three customers: one measuring function for each promise. Every one of them asks the engine."""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container

from dockerlab.containers import container, inspection
from dockerlab.core import polling, units
from dockerlab.core.errors import CourseError
from dockerlab.course.grading import pictures
from dockerlab.course.grading.judging import BOUNDS, Outcome, Submission
from dockerlab.detection import api_client, variants
from dockerlab.images import base_images, image
from dockerlab.lessons.lesson06_ml_images import model_server, onnx_metadata

CUSTOMERS = ("edge", "yard", "fleet")
KEYS = {"volumes", "environment", "tmpfs"}
SEALED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
START, GIVE_UP, STOP = 30, 30, 3  # seconds; long enough for a machine that is busy
MODEL_SUFFIXES, SMALLEST_MODEL = (".onnx", ".pt"), 100_000
GONE = "http://models-are-gone:8000"
GERMAN = {"ship": "Schiff", "container": "Container", "crane": "Kran", "truck": "Laster"}
# Runs beside the crane's container, in its network namespace, since `--network none` publishes no port.
ASK = """
import json, pathlib, sys, time, urllib.error, urllib.request
body = (b'--x\\r\\nContent-Disposition: form-data; name="image"; filename="a.jpg"\\r\\nContent-Type: image/jpeg\\r\\n\\r\\n'
        + pathlib.Path('/picture.jpg').read_bytes() + b'\\r\\n--x--\\r\\n')
request = urllib.request.Request('http://127.0.0.1:8000/detect', body, {'Content-Type': 'multipart/form-data; boundary=x'})
deadline, reason = time.monotonic() + float(sys.argv[1]), ''
while time.monotonic() < deadline:
    try:
        print(urllib.request.urlopen(request, timeout=10).read(1_000_000).decode())
        break
    except OSError as error:
        reason = str(error)
        time.sleep(0.1)
else:
    sys.exit(reason)
"""


def begin(submission: Submission) -> None:
    """Build the three images, and start what does not depend on one another side by side: crane, yard, and a truck without a server.

    What goes wrong here is told by the criterion that asks for it.
    """
    for customer in CUSTOMERS:
        with suppress(Exception):
            _tag(submission, customer)
    with suppress(Exception):
        _server(submission)
    _scene(submission)
    pool = submission.pool(3)
    submission.state |= {
        name: pool.submit(action, submission)
        for name, action in (("edge", _edge), ("yard", _yard), ("down", _down))
    }


class BadOptions(CourseError):
    """run.toml says something that no container can be told."""


@dataclass(frozen=True)
class Ended:
    """How a container ended that should not serve: exit code (None: it did not end), seconds, and its last lines."""

    code: int | None
    seconds: float
    lines: str
    healthy: bool = False


# --- what all criteria use


def _models(submission: Submission) -> Path:
    """A folder with harbour.onnx and its German sister, as the model server and the yard's host have it."""

    def make() -> Path:
        variants.build_rung(
            "multistage", variants.stage_context(submission.scratch() / "api"), submission.client
        )
        folder = submission.scratch()
        folder.chmod(0o755)
        original = onnx_metadata.from_image(submission.client)
        (folder / "harbour.onnx").write_bytes(original)
        (folder / "hafen.onnx").write_bytes(onnx_metadata.renamed(original, GERMAN))
        return folder

    return submission.cached("models", make)


def _tag(submission: Submission, customer: str) -> str:
    """The customer's image, built once. Raises NotStarted without a Dockerfile."""

    def make() -> str:
        submission.text(f"{customer}/Dockerfile")
        _models(submission)
        base_images.ensure(base_images.SLIM, submission.client)
        # Without the label of this check: the same content then has the same id every time, and its layers are read once.
        return submission.build(customer, submission.copy(customer), labelled=False).tag or ""

    return submission.cached(("tag", customer), make)


def _options(submission: Submission, customer: str, **places: str) -> dict[str, Any]:
    """What run.toml says about a customer's container, with {models} and {cache} filled in. Raises BadOptions."""
    try:
        said = tomllib.loads(submission.text("run.toml")).get(customer, {})
    except tomllib.TOMLDecodeError as error:
        raise BadOptions("run.toml cannot be read.", f"{error}.", "Mend that line.") from error
    if unknown := sorted(set(said) - KEYS):
        raise BadOptions(
            f"run.toml sets {unknown[0]} for {customer}.", fix=f"Known: {', '.join(sorted(KEYS))}."
        )
    volumes = []
    for volume in said.get("volumes", []):
        source, *rest = str(volume).split(":")
        if source not in (known := {f"{{{name}}}": place for name, place in places.items()}) or not rest:
            raise BadOptions(
                f"run.toml mounts {volume!r}, and {customer}'s machine has no such place.",
                fix=f"It has: {', '.join(known) or 'nothing but the image'}; write SOURCE:TARGET or SOURCE:TARGET:ro.",
            )
        volumes.append(":".join((known[source], *rest)))
    options = SEALED | {
        "volumes": volumes,
        "environment": {str(key): str(value) for key, value in said.get("environment", {}).items()},
    }
    return options | {"tmpfs": {str(path): "size=64m" for path in said.get("tmpfs", [])}}


def _scene(submission: Submission) -> pictures.Scene:
    """The picture that all customers send: drawn for this check."""
    return submission.cached("scene", lambda: pictures.draw(submission.scratch(), 1)[0])


def _labels(submission: Submission, answer: api_client.Answer) -> set[str]:
    """The class names of an answer, English or German. Raises CourseError where something else was found than what was drawn."""
    found = {each.label for each in answer.detections}
    names = GERMAN if found & {*GERMAN.values()} else None
    if (fits := pictures.share(_scene(submission), answer, names)) < pictures.ONE:
        raise CourseError(
            f"Its answer fits {fits:.0%} of what is on the picture: {answer.summary()}.",
            "It serves no model of the harbour, or a changed one.",
        )
    return found


def _stop(running: Container) -> str:
    """`docker stop` with little patience; "" or what went wrong. Asks the engine."""
    running.stop(timeout=STOP)
    return "killed after 3 s" if running.wait(timeout=30)["StatusCode"] == 137 else ""


def _look_and_stop(submission: Submission, customer: str, running: Container) -> None:
    """Note as whom a container runs and how it stops; the criteria `nonroot` and `stop` ask for it later."""
    submission.state[("uids", customer)] = inspection.look(
        submission.client, running, labels=submission.labels()
    ).users
    submission.state[("stop", customer)] = _stop(running)


# --- edge


def edge_offline(submission: Submission) -> Outcome:
    """A detection through the crane's own network namespace, which has no network."""
    edge: Future[Outcome] = submission.state["edge"]
    return edge.result()


def _edge(submission: Submission) -> Outcome:
    tag, client = _tag(submission, "edge"), submission.client
    started = time.monotonic()
    crane = client.containers.run(
        tag,
        name=submission.name("edge"),
        detach=True,
        network_mode="none",
        labels=submission.labels(),
        **BOUNDS,
        **_options(submission, "edge"),
    )
    submission.callback(container.remove, crane)
    asker = client.containers.run(
        base_images.SLIM,
        ["python", "-c", ASK, str(START)],
        detach=True,
        network_mode=f"container:{crane.id}",
        labels=submission.labels(),
        **BOUNDS,
        volumes={str(_scene(submission).path): {"bind": "/picture.jpg", "mode": "ro"}},
    )
    submission.callback(container.remove, asker)

    def over() -> bool:
        asker.reload()
        crane.reload()
        return "exited" in (asker.status, crane.status)

    polling.wait_until(over, START + 5, interval=0.1)
    seconds = time.monotonic() - started
    if crane.status == "exited":
        return Outcome(False, f"ended with exit code {crane.attrs['State']['ExitCode']}: {_last_line(crane)}")
    if asker.status != "exited" or asker.wait(timeout=30)["StatusCode"]:
        return Outcome(False, f"no boxes within {START} s: {_last_line(crane) or _last_line(asker)}")
    answer = api_client.parse(json.loads(asker.logs(stderr=False)))
    _look_and_stop(submission, "edge", crane)
    return Outcome(bool(_labels(submission, answer)), f"{answer.summary()} after {seconds:.1f} s")


def _last_line(of: Container) -> str:
    lines = of.logs(tail=5).decode(errors="replace").strip().splitlines()
    return lines[-1][:160] if lines else "it wrote nothing"


# --- images


def lean(submission: Submission) -> Outcome:
    """Model files in any layer of the images of yard and fleet."""
    found = []
    for customer in ("yard", "fleet"):
        report = image.inspect(_tag(submission, customer), submission.client)
        for layer in report.layers:
            found += [
                f"{customer}: {path} ({units.mb(size)})"
                for path, size in layer.files.items()
                if path.endswith(MODEL_SUFFIXES) and size >= SMALLEST_MODEL
            ]
    return Outcome(not found, found[0] if found else "no model in any layer")


# --- yard


@dataclass(frozen=True)
class Yard:
    """What the yard's container served before and after the file changed, and whether its mounts can be written."""

    before: set[str]
    after: set[str]
    writable: bool


def _yard(submission: Submission) -> Yard:
    tag, models = _tag(submission, "yard"), _models(submission)
    folder = submission.scratch()
    folder.chmod(0o755)
    (folder / "harbour.onnx").write_bytes((models / "harbour.onnx").read_bytes())
    options = _options(submission, "yard", models=str(folder))
    with _running(submission, "yard", tag, options) as service:
        before = _labels(submission, api_client.detect(service.url, _scene(submission).path))
        # As careful programs do it: a new file takes the name of the old one.
        (folder / "new").write_bytes((models / "hafen.onnx").read_bytes())
        (folder / "new").replace(folder / "harbour.onnx")
        service.container.restart(timeout=STOP)
        url = container.published(service.container, 8000)
        if not polling.wait_until(lambda: _serves(submission, url), START, interval=0.05):
            raise container.ContainerFailed(
                "It does not serve after a restart.", f"Its last line: {_last_line(service.container)}"
            )
        after = _labels(submission, api_client.detect(url, _scene(submission).path))
        mounts = service.container.attrs["Mounts"]
        _look_and_stop(submission, "yard", service.container)
    return Yard(before, after, any(each["RW"] for each in mounts if each["Type"] == "bind"))


def _serves(submission: Submission, url: str) -> bool:
    try:
        return bool(api_client.detect(url, _scene(submission).path, timeout=10))
    except api_client.DetectionFailed:
        return False


@contextmanager
def _running(
    submission: Submission, what: str, tag: str, options: dict[str, Any]
) -> Iterator[container.Running]:
    with submission.running(what, tag, timeout=START, **options) as service:
        yield service


def yard_swap(submission: Submission) -> Outcome:
    """Class names before and after the file in the host's folder changed."""
    yard: Yard = submission.state["yard"].result()
    new = bool(yard.after) and yard.after <= set(GERMAN.values())
    return Outcome(
        new and not yard.before & yard.after,
        f"first {', '.join(sorted(yard.before))}; after the change {', '.join(sorted(yard.after))}",
    )


def yard_readonly(submission: Submission) -> Outcome:
    """Whether the mounted folder can be written from inside."""
    writable = submission.state["yard"].result().writable
    return Outcome(not writable, "the mount can be written" if writable else "the mount is read-only")


# --- fleet


def _server(submission: Submission) -> model_server.ModelServer:
    return submission.cached(
        "server",
        lambda: submission.enter(
            model_server.serving(
                _models(submission), submission.client, submission.name("models"), submission.labels()
            )
        ),
    )


def _cache(submission: Submission, name: str) -> str:
    """A named volume of the fleet's machine, empty at first; removed at the end."""

    def make() -> str:
        volume = submission.client.volumes.create(submission.name(name), labels=submission.labels())
        created: str = volume.name
        return created

    return submission.cached(("cache", name), make)


def _truck(
    submission: Submission, cache: str, model: str = "harbour.onnx", server: str = ""
) -> dict[str, Any]:
    """The options of one truck's container."""
    options = _options(submission, "fleet", cache=_cache(submission, cache))
    options["environment"] |= {"MODEL_SERVER": server or _server(submission).url, "MODEL_NAME": model}
    return options | {"network": _server(submission).network.name}


def _fleet_serves(submission: Submission, what: str, options: dict[str, Any], look: bool = False) -> set[str]:
    """Start a truck's container until it serves; the labels that it answers."""
    with _running(submission, what, _tag(submission, "fleet"), options) as service:
        labels = _labels(submission, api_client.detect(service.url, _scene(submission).path))
        if look:
            _look_and_stop(submission, "fleet", service.container)
        return labels


def fleet_choice(submission: Submission) -> Outcome:
    """Class names that two trucks answer, each with its own MODEL_NAME."""
    first = _fleet_serves(submission, "fleet-harbour", _truck(submission, "cache"), look=True)
    second = _fleet_serves(submission, "fleet-hafen", _truck(submission, "cache", "hafen.onnx"))
    ok = bool(first) and first <= set(GERMAN) and bool(second) and second <= set(GERMAN.values())
    return Outcome(ok, f"harbour.onnx: {', '.join(sorted(first))}; hafen.onnx: {', '.join(sorted(second))}")


def fleet_cache(submission: Submission) -> Outcome:
    """A new container with the cache of an earlier one, while nobody answers at MODEL_SERVER."""
    labels = _fleet_serves(submission, "fleet-again", _truck(submission, "cache", server=GONE))
    asked = [path for path in _server(submission).requests() if path == "/harbour.onnx"]
    return Outcome(
        labels <= set(GERMAN) and len(asked) == 1,
        f"serves without the server; fetches of harbour.onnx in all: {len(asked)}",
    )


def fleet_retry(submission: Submission) -> Outcome:
    """A start while the server answers 503 to the first two requests."""
    _server(submission).behave(busy=2)
    try:
        labels = _fleet_serves(submission, "fleet-busy", _truck(submission, "cache-busy"))
    finally:
        _server(submission).behave(busy=0)
    return Outcome(bool(labels), "started when the third request was answered")


def fleet_damage(submission: Submission) -> Outcome:
    """A start while the server sends a file with one wrong byte, and what is in the cache after the next one."""
    server = _server(submission)
    server.behave(damage=True)
    try:
        ended = _ends(submission, "fleet-damaged", _truck(submission, "cache-damaged"))
    finally:
        server.behave(damage=False)
    if ended.healthy:
        return Outcome(False, "served a damaged file")
    if not ended.code:
        return Outcome(
            False,
            f"exit code {ended.code}"
            if ended.code is not None
            else f"neither served nor ended within {GIVE_UP} s",
        )
    _fleet_serves(submission, "fleet-mended", _truck(submission, "cache-damaged"))
    kept = _digests(submission, _cache(submission, "cache-damaged"))
    right = hashlib.sha256((_models(submission) / "harbour.onnx").read_bytes()).hexdigest()
    wrong = [digest for digest in kept if digest != right and kept[digest] >= SMALLEST_MODEL]
    if right not in kept:
        return Outcome(
            False,
            "kept the damaged file and served it at the next start"
            if wrong
            else "the cache does not hold the model",
        )
    return Outcome(
        not wrong,
        "kept the damaged file beside the right one"
        if wrong
        else "refused it, and fetched a whole one at the next start",
    )


def _digests(submission: Submission, volume: str) -> dict[str, int]:
    """SHA-256 -> size of every file in a volume. Asks the engine."""
    code = (
        "import hashlib, json, pathlib; print(json.dumps({hashlib.sha256(p.read_bytes()).hexdigest(): p.stat().st_size"
        " for p in pathlib.Path('/volume').rglob('*') if p.is_file()}))"
    )
    digests: dict[str, int] = json.loads(
        submission.client.containers.run(
            base_images.SLIM,
            ["python", "-c", code],
            remove=True,
            labels=submission.labels(),
            **BOUNDS,
            volumes={volume: {"bind": "/volume", "mode": "ro"}},
        )
    )
    return digests


def _ends(submission: Submission, what: str, options: dict[str, Any]) -> Ended:
    """Start a truck's container that should give up; how it ended."""
    started = time.monotonic()
    try:
        with submission.running(what, _tag(submission, "fleet"), ready=None, **options) as service:

            def over() -> bool:
                service.container.reload()
                return service.container.status == "exited" or _serves(submission, service.url)

            polling.wait_until(over, GIVE_UP, interval=0.1)
            exited = service.container.status == "exited"
            code = service.container.attrs["State"]["ExitCode"] if exited else None
            return Ended(
                code,
                time.monotonic() - started,
                service.logs(40),
                healthy=not exited and _serves(submission, service.url),
            )
    except APIError as error:
        raise container.ContainerFailed(f"The container cannot be started: {error.explanation}.") from error


def _down(submission: Submission) -> Ended:
    return _ends(submission, "fleet-down", _truck(submission, "cache-down", server=GONE))


def fleet_down(submission: Submission) -> Outcome:
    """A start with an empty cache while nobody answers at MODEL_SERVER."""
    ended: Ended = submission.state["down"].result()
    last = ended.lines.splitlines()[-1] if ended.lines else ""
    if ended.code is None:
        return Outcome(False, f"still trying after {GIVE_UP} s")
    if not ended.code:
        return Outcome(False, "exit code 0, as if all were well")
    if "Traceback" in ended.lines or GONE.partition("//")[2].partition(":")[0] not in last:
        return Outcome(
            False,
            f"its last line: {last[:120] or 'nothing'}"
            + (" (after a stack trace)" if "Traceback" in ended.lines else ""),
        )
    return Outcome(True, f"exit code {ended.code} and one sentence that names the server")


# --- all three


def nonroot(submission: Submission) -> Outcome:
    """The users that were noted while each container ran."""
    users = {customer: submission.state[("uids", customer)] for customer in CUSTOMERS}
    roots = [customer for customer, uids in users.items() if 0 in uids]
    return Outcome(
        not roots,
        f"{', '.join(roots)} runs as root"
        if roots
        else "users " + ", ".join(map(str, sorted(set().union(*users.values())))),
    )


def stops(submission: Submission) -> Outcome:
    """How each container ended that was stopped with little patience."""
    late = [customer for customer in CUSTOMERS if submission.state[("stop", customer)]]
    return Outcome(
        not late,
        f"{', '.join(late)}: {submission.state[('stop', late[0])]}"
        if late
        else "all three ended by themselves",
    )
