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
from dockerlab.course.grading import criteria, pictures
from dockerlab.course.grading.judging import Lab, Outcome, Submission
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
    criteria=criteria.read(
        "05",
        {
            "builds": _builds,
            "starts": _starts,
            "any_user": _any_user,
            "boxes": _same_boxes,
            "disk": _disk,
            "download": _download,
            "tools": _no_tools,
            "user": _not_root,
            "rebuild": _rebuild,
        },
        DISK_BUDGET=units.mb(DISK_BUDGET),
        DOWNLOAD_BUDGET=units.mb(DOWNLOAD_BUDGET),
        NEW_AFTER_EDIT=units.mb(NEW_AFTER_EDIT),
    ),
)
