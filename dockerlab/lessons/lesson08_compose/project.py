"""The project of the compose lesson: its files in a folder that may be edited, and pictures to ask it about."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import requests

from dockerlab.containers.compose import Stack, with_labels
from dockerlab.core.settings import ROOT
from dockerlab.detection import api_client
from dockerlab.engine import error_messages, naming, object_labels

PROJECT = "dockerlab-lesson08"
LABELS = "labels.json"


def stage(folder: Path) -> Stack:
    """Copy assets/stack to `folder`, in place of what stood there, with a new password and the course's labels; returns the project.

    The labels are a second compose file that names every service, network and volume.
    """
    with error_messages.plainly():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT / "assets/stack", folder, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        for path in (
            *folder.glob("*.yaml"),
            folder / "Dockerfile",
        ):  # compose and the docker command read these as they are
            path.write_text(naming.own(path.read_text(encoding="utf-8")), encoding="utf-8")
        password = folder / "db_password.txt"
        password.write_text(secrets.token_hex(12), encoding="utf-8")
        password.chmod(0o644)  # a secret from a file keeps the file's mode, and the API is another user
    project = naming.own(PROJECT)
    bare = Stack(folder.resolve(), project, ("compose.yaml",), dict(os.environ), ("*",))
    (folder / LABELS).write_text(
        json.dumps(with_labels(bare.config(), object_labels.labels(lesson="08"))), encoding="utf-8"
    )
    return Stack(folder.resolve(), project, ("compose.yaml", LABELS), os.environ, ("*",))


def label_file(folder: Path, service: str) -> Path:
    """A compose file beside others that puts the course's labels on one service and its image; returns its path."""
    path, config = (
        folder / LABELS,
        Stack(folder.resolve(), naming.own(PROJECT), ("compose.yaml",), dict(os.environ), ("*",)).config(),
    )
    own = config | {"services": {service: config["services"][service]}, "networks": {}, "volumes": {}}
    path.write_text(json.dumps(with_labels(own, object_labels.labels(lesson="08"))), encoding="utf-8")
    return path


def pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """`count` pictures with a name each, no two of the same bytes. A JPEG ends at its end mark: what follows changes its hash only."""
    files = api_client.samples()
    for number in range(count):
        yield f"scene-{number}.jpg", files[number % len(files)].read_bytes() + b"\0" * (1 + number)


def ask(
    url: str, name: str, picture: bytes, session: requests.Session | None = None
) -> tuple[str, float, int]:
    """POST one picture: what X-Cache says, milliseconds until the answer was here, number of objects."""
    begun = time.perf_counter()
    answer = (session or requests).post(
        f"{url}/detect", files={"image": (name, picture, "image/jpeg")}, timeout=30
    )
    took = 1000 * (time.perf_counter() - begun)
    answer.raise_for_status()
    return answer.headers["X-Cache"], took, len(answer.json()["detections"])


def excerpt(path: Path, name: str) -> str:
    """The lines of one service, or of another entry of a compose file that is indented by two, up to the next empty line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    begin = lines.index(f"  {name}:")
    return "\n".join(
        lines[
            begin : next(
                (number for number in range(begin, len(lines)) if not lines[number].strip()), len(lines)
            )
        ]
    )


def compose_files(folder: Path, names: Iterable[str]) -> str:
    """The value of COMPOSE_FILE for these files of a folder."""
    return os.pathsep.join(str(folder.resolve() / name) for name in names)
