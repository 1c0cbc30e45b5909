"""How the course marks what it makes on an engine: its labels, whose they are, the names that it gives."""

from __future__ import annotations

import getpass
import os
import re
import uuid
from collections.abc import Mapping

from dockerlab.engine import process_marks

COURSE_LABEL = "dockerlab.course"


OWNER_LABEL = "dockerlab.owner"


KIND_LABEL = "dockerlab.kind"


PROCESS_LABEL = process_marks.LABEL


OBJECT_LABEL = "dockerlab.object"  # on containers, networks and volumes, never on an image: what is inherited does not carry it


TAG_LABEL = "dockerlab.tag"  # on images: the tag that the course built this very image as


WORKER_LABEL = "dockerlab.worker"


OBJECT_LABELS = (OBJECT_LABEL, PROCESS_LABEL, WORKER_LABEL)


IMAGE_KINDS = ("image", "base")


# What is made to be used after the process that made it has ended.
LASTING_KINDS = (*IMAGE_KINDS, "index")


TEMPORARY_KINDS = ("check", "doctor", "test")  # of images that nobody needs but the process that built them


NAME_PREFIX = "dockerlab-"


def owner() -> str:
    """The learner's name as it stands in labels: DOCKERLAB_OWNER, else the login name, made safe for names."""
    return _safe(os.environ.get("DOCKERLAB_OWNER") or getpass.getuser())


def shares_a_login() -> bool:
    """Whether the learner has another name than the login, whose folders others use too then."""
    return owner() != _safe(getpass.getuser())


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.") or "learner"


def worker() -> str:
    """Which of several processes of this learner this is, such as `gw1` of a run of the tests (DOCKERLAB_WORKER); "" where there is one."""
    return os.environ.get("DOCKERLAB_WORKER", "")


def labels(**extra: str) -> dict[str, str]:
    """The labels of a container, network, volume or service that the course makes; with the kind of an image, those of an image.

    `dockerlab.object` is random and says that the thing itself was made by the course: a container inherits the labels of its image, so
    that all others prove nothing. What is not of a lasting kind also names this process: when that has died, a notebook's killed kernel for
    instance, the next `cleanup.sweep` removes what it left. What shall outlive its notebook says `labels(process="")`: only a clean-up removes it.
    """
    if extra.get("kind") in IMAGE_KINDS:
        return image_labels(**extra)
    own = {OBJECT_LABEL: uuid.uuid4().hex} | ({WORKER_LABEL: worker()} if worker() else {})
    process = {} if extra.get("kind") in LASTING_KINDS else {PROCESS_LABEL: process_marks.mark()}
    return (
        image_labels(**{"kind": "lesson"} | extra)
        | own
        | process
        | {key: value for key, value in _named(extra).items() if key in OBJECT_LABELS}
    )


def image_labels(tag: str = "", **extra: str) -> dict[str, str]:
    """The labels of an image that the course builds as `tag`. They are inherited by whatever is made from it, so they name no process."""
    marks = (
        {COURSE_LABEL: "1", OWNER_LABEL: owner(), KIND_LABEL: "image"}
        | _named(extra)
        | ({TAG_LABEL: full_tag(tag)} if tag else {})
    )
    return for_image(marks)


def for_image(marks: Mapping[str, str]) -> dict[str, str]:
    """The labels of `marks` that may stand on an image."""
    return {key: value for key, value in marks.items() if key not in OBJECT_LABELS}


def full_tag(tag: str) -> str:
    """A tag as the engine lists it: `dockerlab-api` is `dockerlab-api:latest`."""
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"


def options(marks: Mapping[str, str]) -> str:
    """Labels as options of the `docker` command."""
    return " ".join(f"--label {key}={value}" for key, value in marks.items())


def mine(*more: str) -> dict[str, list[str]]:
    """The filter of the engine's lists for what carries this learner's labels, and `more` (`key=value`); inherited ones count there."""
    own = owned_images()["label"] + ([f"{WORKER_LABEL}={worker()}"] if worker() else [])
    return {"label": [*own, *more]}


def owned_images() -> dict[str, list[str]]:
    """The filter of the engine's lists for images that carry this learner's labels; they carry none of a worker. Inherited ones count."""
    return {"label": [f"{COURSE_LABEL}=1", f"{OWNER_LABEL}={owner()}"]}


def _named(extra: Mapping[str, str]) -> dict[str, str]:
    return {f"dockerlab.{key}": value for key, value in extra.items()}
