"""Lab 05: one image, 2.5 GB, that still trains what it only has to serve. The learner ships the same detections in a fraction of it."""

from __future__ import annotations

import json
import posixpath
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from docker.models.containers import Container

from dockerlab.containers import container, inspection
from dockerlab.core import units
from dockerlab.course.grading import pictures
from dockerlab.course.grading.judging import Criterion, Lab, Outcome, Submission
from dockerlab.detection import variants, wheel_index
from dockerlab.images import base_images, image, image_report
from dockerlab.images.build_report import BuildReport

BUILD_SECONDS = 2400  # of the first build, which installs and exports
DISK_BUDGET, DOWNLOAD_BUDGET, NEW_AFTER_EDIT = 400_000_000, 140_000_000, 1_000_000  # bytes
SEALED = {"read_only": True, "tmpfs": {"/tmp": "size=64m"}}
TOOL_SECONDS, LOOK_SECONDS = (
    20,
    60,
)  # for one program to say its version, and for the interpreter to look round
STRANGER = "54321:54321"  # a user that no image knows, as some platforms choose one
PROGRAMS = ("gcc", "cc", "g++", "make", "git", "pip", "pip3", "uv", "pytest", "ipython")
MODULES = ("torch", "ultralytics", "onnx", "pip", "pytest", "IPython")
INSTALLS = re.compile(
    r"\b(pip3?|uv|apt-get|apt|conda|poetry)\b.*\b(install|sync|add)\b|Successfully installed|Installed \d+ package|export\.py"
)
GIVEN = (
    "app/",
    "export.py",
    "requirements-cpu.txt",
    "requirements-export.txt",
    "requirements-onnx.txt",
    "model/",
)
# Runs inside, with the interpreter of the server: which modules it finds.
LOOK = f"""
import importlib.util, json
print(json.dumps([name for name in {MODULES} if importlib.util.find_spec(name)]))
"""


@dataclass(frozen=True)
class Inside:
    """What a look into the running container found: user ids, and what could be run or imported."""

    users: tuple[int, ...]
    tools: tuple[str, ...]


def _build(submission: Submission, what: str, folder: Path) -> BuildReport:
    """Build the learner's Dockerfile from a copy of the learner's folder."""
    for base in (base_images.SLIM, base_images.FULL, base_images.DISTROLESS):
        base_images.ensure(base, submission.client)
    return submission.build(
        what,
        folder,
        seconds=BUILD_SECONDS,
        buildargs={"TORCH_INDEX": wheel_index.torch_index(submission.client)},
    )


def _built(submission: Submission) -> BuildReport:
    return submission.cached("image", lambda: _build(submission, "image", submission.copy(given=GIVEN)))


def _served(submission: Submission, user: str = "") -> container.Running:
    """The image as a running service: read-only, as its own user or as another."""

    def start() -> container.Running:
        options = SEALED | ({"user": user} if user else {})
        return submission.enter(
            submission.running(
                f"as-{user.split(':')[0] or 'itself'}", _built(submission).tag or "", **options
            )
        )

    return submission.cached(("service", user), start)


def _looked(submission: Submission) -> Inside:
    """Try to run each tool in the running container, ask its interpreter what it can import, and look for both among the image's files."""

    def look() -> Inside:
        service = _served(submission).container
        programs, modules = _lying_about(_size(submission).paths())
        programs |= {name for name in PROGRAMS if _runs(service, name)}
        code, output = container.execute(service, [_interpreter(service), "-c", LOOK], LOOK_SECONDS)
        if code == 0:
            modules |= set(MODULES) & set(
                json.loads(output.decode(errors="replace").strip().splitlines()[-1])
            )
        users = inspection.look(submission.client, service, labels=submission.labels()).users
        return Inside(
            tuple(sorted(users)),
            (
                *(name for name in PROGRAMS if name in programs),
                *(f"import {name}" for name in MODULES if name in modules),
            ),
        )

    return submission.cached("inside", look)


def _runs(service: Container, name: str) -> bool:
    """Whether there is a program of this name; what does not come to an end is there."""
    try:
        return container.execute(service, [name, "--version"], TOOL_SECONDS)[0] not in (126, 127)
    except container.NoEnd:
        return True


def _lying_about(paths: list[str]) -> tuple[set[str], set[str]]:
    """The programs and top-level modules of the two lists that are among these files. Pure."""
    files = set(paths)
    programs = {
        name
        for path in paths
        if (name := posixpath.basename(path)) in PROGRAMS
        and posixpath.basename(posixpath.dirname(path)) in ("bin", "sbin")
    }
    modules = set()
    for path in paths:
        package, _, name = path.rpartition("/")
        module, above = posixpath.basename(package), posixpath.dirname(package)
        if name == "__init__.py" and module in MODULES and f"{above}/__init__.py" not in files:
            modules.add(module)
    return programs, modules


def _interpreter(service: Container) -> str:
    """The Python that runs the server: the first word of its command line."""
    lines = [row[-1] for row in service.top(ps_args="-eo pid,args")["Processes"]]
    words = [line.split()[0] for line in lines if "uvicorn" in line or "python" in line]
    return next((word for word in words if "python" in word), "python3")


def _builds(submission: Submission) -> Outcome:
    report = _built(submission)
    return Outcome(True, f"{len(report.instructions)} steps, {len(report.cached)} of them from the cache")


def _starts(submission: Submission) -> Outcome:
    service = _served(submission)
    return Outcome(True, f"/health answered after {service.start_seconds:.1f} s")


def _any_user(submission: Submission) -> Outcome:
    service = _served(submission, STRANGER)
    return Outcome(True, f"/health answered after {service.start_seconds:.1f} s")


def _same_boxes(submission: Submission) -> Outcome:
    return pictures.judged(_served(submission).url, submission.scratch())


def _size(submission: Submission) -> image_report.ImageReport:
    return submission.cached("size", lambda: image.inspect(_built(submission).tag or "", submission.client))


def _disk(submission: Submission) -> Outcome:
    report = _size(submission)
    largest = max(report.layers, key=lambda layer: layer.disk_bytes)
    return Outcome(
        report.disk_bytes <= DISK_BUDGET,
        f"{units.mb(report.disk_bytes)}, most of it in `{largest.instruction[:60]}`",
    )


def _download(submission: Submission) -> Outcome:
    size = _size(submission).download_bytes
    return Outcome(size <= DOWNLOAD_BUDGET, units.mb(size))


def _no_tools(submission: Submission) -> Outcome:
    tools = _looked(submission).tools
    return Outcome(not tools, ", ".join(tools) or "none of them")


def _not_root(submission: Submission) -> Outcome:
    users = _looked(submission).users
    return Outcome(
        bool(users) and 0 not in users,
        f"user {', '.join(map(str, sorted(set(users))))}" if users else "its processes could not be read",
    )


def _rebuild(submission: Submission) -> Outcome:
    """Change one line of the code; see which steps run, and how much of the image is new."""
    folder = submission.copy(given=GIVEN)
    variants.edit_one_line(folder, uuid.uuid4().hex)  # a mark that no earlier build has seen
    report = _build(submission, "edited", folder)
    new = sum(
        layer.disk_bytes
        for layer in image.new_layers(_built(submission).image_id, report.image_id, submission.client)
    )
    again = [
        step.name
        for step in report.instructions
        if not step.cached and "] RUN " in step.name and INSTALLS.search(f"{step.name}\n{step.log}")
    ]
    if again:
        return Outcome(
            False, f"{len(report.ran)} of {len(report.instructions)} steps ran, among them `{again[0]}`"
        )
    return Outcome(
        new <= NEW_AFTER_EDIT,
        f"{len(report.ran)} of {len(report.instructions)} steps ran, {units.mb(new)} of the image are new",
    )


LAB = Lab(
    number="05",
    name="shrink the image",
    files=("Dockerfile",),
    criteria=(
        Criterion(
            key="builds",
            promise="The image builds",
            why="What does not build cannot ship.",
            hint="Begin with the lines of Dockerfile.today. Where a step fails, its message names the line.",
            second_hint="A COPY --from=NAME takes from the stage that says AS NAME; paths in it are those of that stage.",
            wanted="it builds",
            measure=_builds,
        ),
        Criterion(
            key="starts",
            promise="It starts as its own user with a read-only root file system, and answers",
            why="A server that writes into its own image surprises you later.",
            hint="Run it with `docker run --rm --read-only --tmpfs /tmp IMAGE` and read its last line. "
            "May its user enter the folder that holds the server and its packages?",
            second_hint="Only root may enter /root, so a copy of /root/.local is out of reach for any other user: "
            "install into /opt/venv, and put /opt/venv/bin on the PATH.",
            wanted="/health answers 200",
            measure=_starts,
            needs=("builds",),
        ),
        Criterion(
            key="any_user",
            promise="It also starts as a user that the image has never heard of",
            why="Some platforms choose the user themselves.",
            hint="Run it with `--user 54321:54321`. Which folder or file is closed to that user?",
            second_hint="Packages, model and code need read permission for everyone. A path such as /opt/venv gives that; "
            "/root, `chmod 700` and --chown with a closed mode do not.",
            wanted="/health answers 200",
            measure=_any_user,
            needs=("starts",),
        ),
        Criterion(
            key="boxes",
            promise="It finds the same boxes as PyTorch did",
            why="A smaller image that detects something else is another product.",
            hint="Look at how the model was exported: for which size of picture was it trained, and which size does your export state?",
            second_hint="`python export.py harbour-n.pt harbour-n.onnx` exports for the size of the training; "
            "--size, half precision and quantisation change the answers.",
            wanted="100% of the boxes",
            measure=_same_boxes,
            needs=("starts",),
        ),
        Criterion(
            key="disk",
            promise=f"It takes at most {units.mb(DISK_BUDGET)} on disk",
            why="Every machine that runs it stores it.",
            hint="Print `image.inspect(TAG).frame()`: the heaviest instruction is where to look. "
            "A file that a later layer deletes still ships.",
            second_hint="The last stage begins FROM a slim base and copies one folder of packages, one model file and the code; "
            "never the whole of another stage.",
            wanted=f"at most {units.mb(DISK_BUDGET)}",
            measure=_disk,
            needs=("builds",),
        ),
        Criterion(
            key="download",
            promise=f"It takes at most {units.mb(DOWNLOAD_BUDGET)} to download",
            why="Every start on a new machine waits for it.",
            hint="What is compressed already weighs the same on the wire as on disk. "
            "`image.inspect(TAG).files()` lists the largest files: which of them are archives?",
            second_hint="Wheels are archives. pip keeps those that it fetched unless you say `--no-cache-dir`, and a COPY of a folder of wheels "
            "ships them even if a later RUN removes it: install in a stage that does not ship, or from a bind mount.",
            wanted=f"at most {units.mb(DOWNLOAD_BUDGET)}",
            measure=_download,
            needs=("builds",),
        ),
        Criterion(
            key="tools",
            promise="Nobody inside can compile, install, test or export",
            why="What a server never runs helps only an intruder.",
            hint="Try it: `docker exec CONTAINER pip --version`. Where does each tool come from: the base, your packages, or another stage?",
            second_hint="`python -m venv --without-pip` keeps pip out of the environment. The base's own goes with "
            "`RUN pip uninstall --yes pip setuptools`, or with a base that has none.",
            wanted="none of them",
            measure=_no_tools,
            needs=("starts",),
        ),
        Criterion(
            key="user",
            promise="The server does not run as root",
            why="Who breaks into the server gets what the server may do.",
            hint="`docker inspect --format '{{.Config.User}}' IMAGE` says as whom it runs.",
            second_hint="A line USER 10001 in the last stage, before CMD; a number needs no account.",
            wanted="no process of user 0",
            measure=_not_root,
            needs=("starts",),
        ),
        Criterion(
            key="rebuild",
            promise="After an edit of the code nothing is installed or exported again, and almost nothing is new to download",
            why="You edit code every day, and packages every month.",
            hint="Change one line in app/ and build again. Which steps run, and which new layer holds more than the code? "
            "A step runs again when anything above it changed, so the order decides.",
            second_hint="Copy the list of packages and install before you copy app/. In the last stage packages and model come first, "
            "`COPY app app` last, each in a layer of its own.",
            wanted=f"no installation, at most {units.mb(NEW_AFTER_EDIT)} new",
            measure=_rebuild,
            needs=("disk",),
        ),
    ),
)
