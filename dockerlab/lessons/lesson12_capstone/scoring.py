"""The scorecard of the capstone: ten measures of one service, from its folder alone. Builds it, runs it, edits it, breaks it.

A folder holds the application of assets/capstone, a Dockerfile and, sooner or later, a compose.yaml with a service `api`. It is judged
as a stranger would get it: from a copy with the litter of a working folder, and with a token that nobody has seen.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException
from docker.models.containers import Container

from dockerlab.containers import inspection
from dockerlab.containers.compose import Stack, StackFailed, bounded, running_stack
from dockerlab.containers.health import health_states
from dockerlab.containers.privileges import Mount, opened
from dockerlab.core import polling, units
from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.course import workspace
from dockerlab.course.grading.judging import Submission
from dockerlab.detection import variants
from dockerlab.engine import connection, process_marks
from dockerlab.images import (
    base_images,
    build_plan,
    context_contents,
    dockerfile,
    image,
    image_report,
    lint,
    secret_scan,
)
from dockerlab.images.build_report import BuildReport
from dockerlab.lessons.lesson12_capstone import application
from dockerlab.lessons.lesson12_capstone.application import (
    OLD_TOKEN,
    ROUNDS,
    TOKEN,
    ask,
    bare,
    compose_files,
    litter,
    own_answers,
    p95_ms,
    samples,
)
from dockerlab.lessons.lesson12_capstone.scorecard import (
    LAB,
    LESSON,
    TITLES,
    Score,
    Scorecard,
    Targets,
    beside,
)

__all__ = [
    "LAB",
    "LESSON",
    "TOKEN",
    "Score",
    "Scorecard",
    "Targets",
    "ask",
    "bare",
    "beside",
    "compose_files",
    "judged",
    "latest",
    "measured_config",
    "ours",
    "own_answers",
    "p95_ms",
    "rights",
    "samples",
    "score",
]
GIVEN = ("app/", "model/", "requirements.txt")
LIMITS = {
    "nano_cpus": 1_000_000_000,
    "mem_limit": "256m",
    "memswap_limit": "512m",
}  # what the box at the gate has for this service
CLOSE = 0.01  # how far a score may be from the application's own
INSTALLS = re.compile(
    r"\b(pip3?|uv|apt-get|apt)\b.*\b(install|sync|add)\b|Successfully installed|Installed \d+ package"
)
# How often health is asked while it is judged; the file's own pace may be slower.
PACE = {"interval": "2s", "timeout": "5s", "retries": 3, "start_period": "4s", "start_interval": "300ms"}
QUICK = {"interval": 400_000_000, "timeout": 5_000_000_000, "retries": 2, "start_period": 1_000_000}


def score(
    folder: Path,
    name: str = "",
    targets: Targets = LESSON,
    client: docker.DockerClient | None = None,
    keep: str = "",
) -> Scorecard:
    """Measure a folder; everything made for it is removed again, but for the image under the tag `keep`. Asks the engine.

    Raises CourseError where it does not build.
    """
    with Submission(folder, client, "12") as submission:
        return judged(submission, targets, name, keep)


def ours(client: docker.DockerClient | None = None, targets: Targets = LAB) -> Scorecard:
    """The course's own result, measured here and now. Asks the engine."""
    with process_marks.folder("ours") as scratch:
        workspace.write(Path(scratch), workspace.derived_files(workspace.find("12"))[0])
        return score(Path(scratch), "The course", targets, client)


@dataclass
class _Case:
    """One folder under judgement, and what was found out so far."""

    submission: Submission
    targets: Targets
    folder: Path
    report: BuildReport
    scores: dict[str, Score] = field(default_factory=dict)

    @property
    def client(self) -> docker.DockerClient:
        return self.submission.client

    @property
    def tag(self) -> str:
        return self.report.tag or ""

    def put(self, key: str, value: float, target: float, ok: bool, said: str) -> None:
        title, unit = TITLES[key]
        self.scores[key] = Score(key, title, value, target, unit, ok, said)

    def count(self, key: str, faults: list[str], fine: str) -> None:
        self.put(key, len(faults), 0, not faults, "; ".join(faults) or fine)

    def unmeasured(self, key: str, why: str, target: float = 0) -> None:
        self.put(key, math.nan, target, False, why)


def judged(submission: Submission, targets: Targets, name: str = "", keep: str = "") -> Scorecard:
    """The scorecard of a submission; `keep` is a tag under which its image stays. Asks the engine. Raises CourseError where the image does not build."""
    folder = litter(submission.copy(also=("*",), given=GIVEN))
    for base in (base_images.SLIM, base_images.DISTROLESS, base_images.REDIS):
        base_images.ensure(base, submission.client)
    seconds = _from_nothing(submission, folder)
    # No label of this check: an image made of the same files has the same id then, and what it holds is known already.
    case = _Case(submission, targets, folder, submission.build("image", folder, labelled=False))
    if keep:
        submission.client.images.get(case.tag).tag(keep)
    _build(case, seconds)
    _start(case)  # alone on the machine
    pool = submission.pool(5)
    size, rebuild, sick = pool.submit(_size, case), pool.submit(_rebuild, case), pool.submit(_sick, case)
    others: list[Future[Any]] = [size, rebuild, sick, pool.submit(_lint, case)]
    stack = pool.submit(_stack, case, lambda: wait_for(others), sick)
    for future in (*others, stack):
        future.result()
    card = Scorecard(name or submission.folder.name, tuple(case.scores[key] for key in TITLES))
    _LATEST[str(submission.folder.resolve())] = card
    return card


_LATEST: dict[str, Scorecard] = {}


def latest(folder: Path) -> Scorecard | None:
    """The scorecard that was measured last of this folder, in this process."""
    return _LATEST.get(str(Path(folder).resolve()))


def _from_nothing(submission: Submission, folder: Path) -> float:
    """Seconds of a build without a cache: of one from the same files and bases in this process, else measured now.

    No file keeps it, since whoever is judged could write there.
    """
    recipe = _recipe(folder, submission.client)
    if recipe not in _FRESH:
        _FRESH[recipe] = submission.build("fresh", folder, labelled=False, no_cache=True).seconds
    return _FRESH[recipe]


_FRESH: dict[str, float] = {}


def _recipe(folder: Path, client: docker.DockerClient) -> str:
    """What a build from nothing is made of, but for the code: files sent and bases."""
    sent = context_contents.contents(folder)
    names = [
        name
        for name in sorted(sent[sent["sent"]]["path"])
        if not name.startswith("app/") and not name.endswith(".ipynb")
    ]
    parts = [(folder / name).read_bytes() for name in (*names, "Dockerfile")]
    for name in sorted(
        build_plan.images_of(build_plan.plan(dockerfile.parse(dockerfile.read(folder / "Dockerfile"))))
    ):
        with suppress(APIError):
            parts.append(str(client.images.get(name).id).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _build(case: _Case, seconds: float) -> None:
    sent, targets = case.report.context_bytes, case.targets
    said = f"{sent / 1e3:,.0f} kB of context sent, at most {targets.context_bytes / 1e3:,.0f} kB"
    case.put(
        "build",
        seconds,
        targets.build_seconds,
        seconds <= targets.build_seconds and sent <= targets.context_bytes,
        said,
    )


def _start(case: _Case) -> None:
    """`docker run` to the first answer, read-only and without rights; then the answers to all samples. The best of some starts counts."""
    best, answers, target = math.inf, {}, case.targets.start_seconds
    options: dict[str, Any] = variants.LOCKED_DOWN | LIMITS | {"environment": {"API_TOKEN": TOKEN}}
    pictures = application.draw(case.submission.scratch())
    try:
        for number in range(ROUNDS):
            started = time.monotonic()
            with case.submission.running(f"start{number}", case.tag, timeout=45, **options) as service:
                answers = _ask_all(service.url, started, pictures)
                best = min(best, answers.pop("seconds"))
            if best <= target:
                break
    except (CourseError, requests.RequestException, ValueError) as error:
        why = " ".join(str(error).split())
        case.unmeasured("start", why, target)
        case.unmeasured("agreement", "it gave no answers")
        return
    case.put("start", best, target, best <= target, "read-only, without capabilities, on one CPU")
    wanted = own_answers(pictures[0].parent)
    other = [
        name
        for name, scores in wanted.items()
        if any(abs(answers.get(name, {}).get(label, 9) - value) > CLOSE for label, value in scores.items())
    ]
    case.count(
        "agreement",
        [f"{name.removesuffix('.png')} is answered otherwise" for name in other],
        f"the same scores for {len(wanted)} pictures",
    )


def _ask_all(url: str, started: float, pictures: Sequence[Path]) -> dict[str, Any]:
    """The scores of every picture, and under `seconds` when the first came."""
    found: dict[str, Any] = {}
    for path in pictures:
        found[path.name] = ask(url, path.read_bytes(), TOKEN)["scores"]
        found.setdefault("seconds", time.monotonic() - started)
    return found


def _contents(case: _Case) -> image_report.ImageReport:
    return image.inspect(case.tag, case.client)


def _size(case: _Case) -> None:
    report, target = _contents(case), case.targets.disk_bytes
    heaviest = max(report.layers, key=lambda layer: layer.disk_bytes)
    said = f"{units.mb(report.download_bytes)} to download; most of it in `{heaviest.instruction[:50]}`"
    case.put("size", report.disk_bytes / 1e6, target / 1e6, report.disk_bytes <= target, said)
    _image_leaks(case)


def _image_leaks(case: _Case) -> None:
    """Where the token stands in the image: in a layer, whether or not a later one deletes it, in its config or history."""
    found = case.client.images.get(case.tag)
    if (key := str(found.id)) not in _SEARCHED:
        _SEARCHED[key] = secret_scan.find(case.tag, TOKEN, case.client)
    places = [f"the token stands in {place}" for place in _SEARCHED[key]]
    if OLD_TOKEN in json.dumps([found.attrs.get("Config"), found.history()]):
        places.append("the developers' token stands in the image's config or history")
    case.submission.state["leaks"] = places


_SEARCHED: dict[str, list[str]] = {}  # by image id, which is made of the content


def _rebuild(case: _Case) -> None:
    """Edit a line of the code, build again: what ran, how long it took, and how much of the image is new."""
    folder = Path(shutil.copytree(case.folder, case.submission.scratch() / "edited", symlinks=True))
    variants.edit_one_line(folder, uuid.uuid4().hex)
    report = case.submission.build("edited", folder, labelled=False)
    # Where several results of one step are in the cache, the builder may take another one this time: only what ran is new.
    ran = {_words(name.partition("] ")[2]) for name in report.ran}
    layers = image.new_layers(case.report.image_id, report.image_id, case.client)
    new = sum(layer.disk_bytes for layer in layers if _words(layer.instruction) in ran)
    again = [
        step.name
        for step in report.instructions
        if not step.cached and "] RUN " in step.name and INSTALLS.search(f"{step.name}\n{step.log}")
    ]
    said = (
        f"{len(report.ran)} of {len(report.instructions)} steps ran, {units.mb(new)} of the image are new"
        + (f"; `{again[0][:60]}` again" if again else "")
    )
    ok = not again and new <= case.targets.new_bytes and report.seconds <= case.targets.rebuild_seconds
    case.put("rebuild", report.seconds, case.targets.rebuild_seconds, ok, said)


def _words(instruction: str) -> str:
    """The start of an instruction without its flags, as the image's history has it."""
    return re.sub(r"^(\w+)( --\S+)+", r"\1", " ".join(instruction.split()))[:60]


def _lint(case: _Case) -> None:
    try:
        found = [
            each for each in lint.hadolint(case.folder / "Dockerfile") if each.level in ("error", "warning")
        ]
        found += lint.build_check(case.folder)
    except CourseError as error:
        case.unmeasured("lint", error.what)
        return
    case.count(
        "lint",
        [f"line {each.line}: {each.rule}" for each in found],
        "neither hadolint nor BuildKit has a warning",
    )


def _healthcheck(case: _Case) -> list[str]:
    """The command that asks for health: that of the compose file's service, else the image's; empty where there is none."""
    config = case.submission.cached("config", lambda: _config(case))
    own = (config["services"]["api"].get("healthcheck") or {}).get("test")
    inherited = (case.client.images.get(case.tag).attrs["Config"].get("Healthcheck") or {}).get("Test")
    test = own or inherited or []
    return [] if test == ["NONE"] else [test] if isinstance(test, str) else test


def _sick(case: _Case) -> list[str]:
    """Faults of health: no check, or one that calls a service healthy that has no model."""
    try:
        test = _healthcheck(case)
    except CourseError:
        return []  # the stack says what is wrong with the file
    if not test:
        return ["there is no health check"]
    options: dict[str, Any] = {
        "environment": {"API_TOKEN": TOKEN, "MODEL_PATH": "/nowhere.onnx"},
        "healthcheck": {"test": test} | QUICK,
        "ready": None,
    }
    try:
        with case.submission.running("sick", case.tag, **options) as service:
            polling.wait_until(lambda: _status(f"{service.url}/health") == 503, 20, 0.1)
            states = health_states(service.container, "unhealthy", 8)
            time.sleep(1)  # a check that only knocks at the port turns green by now
            states += health_states(service.container, "unhealthy", 3)
    except CourseError as error:
        return [f"without a model: {error.what}"]
    return [] if states[-1] == "unhealthy" and "healthy" not in states else [f"{states[-1]} without a model"]


def _status(url: str) -> int:
    try:
        return fetch(url, 3).status_code
    except requests.RequestException:
        return 0


def _says_something(path: Path) -> bool:
    """Whether a file is there and holds more than comments."""
    return path.is_file() and any(
        line.strip() and not line.lstrip().startswith("#")
        for line in path.read_text(encoding="utf-8").splitlines()
    )


def _config(case: _Case) -> dict[str, Any]:
    """The project as compose understands it; where there is no compose.yaml, the `docker run` that people write first."""
    if not _says_something(case.folder / "compose.yaml"):
        return {"services": {"api": {"environment": {"API_TOKEN": TOKEN}}}}
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("API_TOKEN", "COMPOSE_FILE", "COMPOSE_PROFILES")
    }
    config = Stack(case.folder, case.submission.name("stack"), ("compose.yaml",), environment).config()
    if "api" not in config.get("services", {}):
        raise StackFailed(
            "compose.yaml has no service called api.", fix="Name the service that serves pictures `api`."
        )
    return config


def measured_config(config: dict[str, Any], tag: str, checked: bool) -> dict[str, Any]:
    """The same project for a measurement: this image, a free port, the limits of the gate's box, quick health checks. Pure.

    `checked` says that `api` has a health check, in the file or in its image.
    """
    config = json.loads(json.dumps(config))
    api = config["services"]["api"]
    for service in config["services"].values():
        service.pop("container_name", None)
        check = service.get("healthcheck") or {}
        if not check.get("disable") and (check.get("test") or (service is api and checked)):
            service["healthcheck"] = check | PACE
    for name in ("build", "deploy", "cpus", "mem_limit", "mem_reservation", "memswap_limit"):
        api.pop(name, None)
    api |= {
        "image": tag,
        "cpus": 1.0,
        "mem_limit": "256m",
        "ports": [{"target": 8000, "host_ip": "127.0.0.1", "protocol": "tcp", "mode": "ingress"}],
    }
    bounded(config, config)
    return config


def _stack(case: _Case, quiet: Callable[[], object], sick: Future[list[str]]) -> None:
    """The composed service: health, latency, rights, and what it knows of the token. `quiet` waits until nothing else runs."""
    try:
        config = measured_config(
            case.submission.cached("config", lambda: _config(case)), case.tag, bool(_healthcheck(case))
        )
        file = case.folder / "measured.json"  # JSON is YAML
        file.write_text(json.dumps(config), encoding="utf-8")
        with running_stack(
            case.folder, files=(file.name,), project=case.submission.name("stack"), timeout=60
        ) as stack:
            quiet()
            boxes = case.client.containers.list(
                filters={"label": f"com.docker.compose.project={stack.project}"}
            )
            box = next(each for each in boxes if each.labels.get("com.docker.compose.service") == "api")
            box.reload()
            case.count("health", sick.result(), "healthy in the stack, unhealthy without a model")
            _latency(case, stack.url("api", 8000), box)
            case.count("user", _rights(case, box, boxes), "an unprivileged user, read-only, no capabilities")
            _secrets(case, stack.url("api", 8000), box)
    except (CourseError, DockerException, requests.RequestException, StopIteration) as error:
        why = " ".join(str(error).split())
        quiet()
        case.scores.setdefault(
            "health", Score("health", *TITLES["health"][:1], 1, 0, TITLES["health"][1], False, why)
        )
        case.unmeasured("latency", "the stack does not run", case.targets.latency_ms)
        case.unmeasured("user", "the stack does not run")
        case.unmeasured(
            "secrets", "; ".join([*case.submission.state.get("leaks", []), "the stack does not run"])
        )


def _latency(case: _Case, url: str, box: Container) -> None:
    """Pictures that nobody asked about before; then the same picture twice."""
    token, target = _token(box, url), case.targets.latency_ms
    best, typical = p95_ms(url, token, target)
    picture = samples()[0].read_bytes()
    cached = [ask(url, picture, token)["cached"] for _ in range(2)] == [False, True]
    said = f"half of them below {typical:.0f} ms; a picture asked twice {'comes from the cache' if cached else 'is computed twice: no cache answers'}"
    case.put("latency", best, target, best <= target and cached, said)


def _token(box: Container, url: str) -> str:
    """The token that this service takes, whatever way it got it, so that the other measures do not depend on that."""
    own = dict(entry.partition("=")[::2] for entry in box.attrs["Config"]["Env"])
    picture = samples()[0].read_bytes() + uuid.uuid4().bytes
    for token in (TOKEN, own.get("API_TOKEN", ""), OLD_TOKEN):
        with suppress(requests.HTTPError):
            ask(url, picture, token)
            return token
    raise StackFailed(
        "The service takes none of the tokens that it was given.",
        fix="API_TOKEN_FILE names the file of the secret.",
    )


def _rights(case: _Case, box: Container, boxes: Iterable[Container]) -> list[str]:
    """What the service may do that it need not, and what its neighbours open to whoever gets into them."""
    users, socket = (
        inspection.look(case.client, box, labels=case.submission.labels()).users,
        connection.engine_socket(),
    )
    faults = rights(box.attrs, users, inspection.mounts(case.client, box.attrs), socket)
    for other in boxes:
        if other.id != box.id:
            found = opened(other.attrs, inspection.mounts(case.client, other.attrs), socket)
            faults += [
                f"{other.labels.get('com.docker.compose.service')}: {found[key]}"
                for key in ("engine", "host")
                if key in found
            ]
    return faults


def rights(
    attrs: Mapping[str, Any],
    users: Iterable[int],
    mounts: Sequence[Mount] = (),
    socket: str = "/var/run/docker.sock",
) -> list[str]:
    """What a container may do that a service need not: from `docker inspect`, the users of its processes, and its mounts. Pure."""
    host = attrs["HostConfig"]
    faults = ["it runs as root"] if 0 in users else []
    faults += ["its file system can be written"] if not host.get("ReadonlyRootfs") else []
    dropped = {name.upper().removeprefix("CAP_") for name in host.get("CapDrop") or []}
    faults += (
        ["it keeps capabilities"]
        if "ALL" not in dropped or host.get("CapAdd") or host.get("Privileged")
        else []
    )
    options = {option.replace("=", ":").removesuffix(":true") for option in host.get("SecurityOpt") or []}
    faults += ["it may gain privileges"] if "no-new-privileges" not in options else []
    faults += (
        ["no profile of AppArmor or SELinux holds it"]
        if options & {"apparmor:unconfined", "label:disable"}
        else []
    )
    found = opened(attrs, mounts, socket)
    faults += [found[key] for key in ("engine", "host", "kernel") if key in found]
    return faults + [
        f"it may write to {each.source} of the host"
        for each in mounts
        if each.kind == "bind" and each.writable
    ]


def _secrets(case: _Case, url: str, box: Container) -> None:
    found = list(case.submission.state["leaks"])
    told = json.dumps(box.attrs["Config"])
    if TOKEN in told or OLD_TOKEN in told:
        found.append("`docker inspect` shows the token")
    picture = samples()[0].read_bytes()
    try:
        ask(url, picture, "wrong")
        found.append("it answers without the token")
    except requests.HTTPError:
        pass
    try:
        ask(url, picture, TOKEN)
    except requests.HTTPError:
        found.append("the token of secrets/api_token.txt is refused")
    case.count("secrets", found, "none in layers, history or environment; the token comes as a file")
