"""The capstone's application as it is handed over: its files, its answers, and what lies about in a working folder."""

from __future__ import annotations

import functools
import json
import math
import os
import random
import secrets
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import requests

from dockerlab.containers.compose import Stack, with_labels
from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.core.settings import ROOT
from dockerlab.course import workspace
from dockerlab.engine import error_messages, object_labels

BARE = ROOT / "assets/capstone"
TOKEN = f"a-token-that-nobody-has-seen-{secrets.token_hex(8)}"  # of the checks of this process
OLD_TOKEN = "gate-7-cameras-only"  # of the bare repository
SECRET_FILES = (".env", "secrets/api_token.txt")
# What lies about in a working folder: the same bytes every time in one process, so that a build which takes them in can be cached.
LITTER = {
    ".env": f"API_TOKEN={TOKEN}\n".encode(),
    "secrets/api_token.txt": f"{TOKEN}\n".encode(),
    ".git/objects/pack/pack-1.pack": bytes(2_000_000),
    "data/walls-2026.npz": bytes(3_000_000),
    "app/__pycache__/main.cpython-39.pyc": bytes(40_000),
}
ROUNDS = 4
# Runs in the bare repository, outside any container: what the application itself says about each picture of a folder.
OWN_ANSWERS = """
import json, pathlib, sys
from app.classifier import Classifier
model = Classifier(pathlib.Path('model/walls.onnx'), 1)
print(json.dumps({path.name: model.scores(path.read_bytes()) for path in sorted(pathlib.Path(sys.argv[1]).glob('*.png'))}))
"""
# Runs there too: draws walls from seeds, as the pictures of the repository were drawn.
DRAW = """
import pathlib, sys
sys.path.insert(0, 'train')
import walls
for seed in sys.argv[2:]:
    picture, kind = walls.draw(int(seed))
    picture.save(pathlib.Path(sys.argv[1]) / f'{walls.LABELS[kind]}-{seed}.png')
"""
SEEDS = (2_000_000, 2**40)  # that neither training nor the samples use


def bare(folder: Path) -> Path:
    """A fresh copy of the bare repository; returns the folder."""
    with error_messages.plainly():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(BARE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    return readable(folder)


def readable(folder: Path) -> Path:
    """Let everyone read what is in a folder, whatever this machine's umask is: the user in a container is another one. Returns the folder."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def samples() -> list[Path]:
    """The pictures of the bare repository."""
    return sorted((BARE / "samples").glob("*.png"))


def compose_files(folder: Path, project: str, **labels: str) -> str:
    """COMPOSE_FILE for a folder: its compose.yaml, and a file beside it that puts the course's labels on all of it. Runs compose."""
    config = Stack(folder, project, ("compose.yaml",), dict(os.environ)).config()
    (folder / "labels.json").write_text(
        json.dumps(with_labels(config, object_labels.labels(**labels))), encoding="utf-8"
    )
    return os.pathsep.join(str(folder / name) for name in ("compose.yaml", "labels.json"))


def litter(folder: Path) -> Path:
    """Put into a folder what lies about in a working folder, and this check's token where tokens are kept. Returns the folder."""
    workspace.write(folder, LITTER)
    return readable(folder)


def draw(folder: Path, count: int = 6) -> list[Path]:
    """Draw pictures into a folder that nobody has seen, of each condition in turn. Runs the repository's own program."""
    first = random.SystemRandom().randrange(*SEEDS)
    _run_bare(DRAW, str(folder), *(str(first + number) for number in range(count)))
    return sorted(folder.glob("*.png"))


@functools.cache
def own_answers(folder: Path = BARE / "samples") -> dict[str, dict[str, float]]:
    """What the bare application answers outside any container, by picture of a folder. Runs it."""
    answers: dict[str, dict[str, float]] = json.loads(_run_bare(OWN_ANSWERS, str(folder)))
    return answers


def _run_bare(program: str, *arguments: str) -> str:
    """What a program prints that runs in the bare repository."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=BARE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise CourseError(
            "The application does not run on this machine.",
            f"{done.stderr.strip().splitlines()[-1]}.",
            "Run `make setup`.",
        )
    return done.stdout


def ask(url: str, picture: bytes, token: str, session: requests.Session | None = None) -> dict[str, Any]:
    """One answer of POST /inspect. Raises requests.HTTPError for anything but 200, and as fetch.fetch."""
    reply = fetch(
        f"{url}/inspect",
        30,
        method="POST",
        session=session,
        files={"image": ("wall.png", picture, "image/png")},
        headers={"Authorization": f"Bearer {token}"},
    )
    reply.raise_for_status()
    answer: dict[str, Any] = reply.json()
    return answer


def p95_ms(url: str, token: str, enough: float = 0, rounds: int = ROUNDS) -> tuple[float, float]:
    """Milliseconds below which 95 of 100 answers stay, and half of them, for pictures that nobody asked about before; the best of some rounds.

    One request after another over one connection. Stops early at a round below `enough`, or after two far above it. Raises requests.HTTPError.
    """
    best = (math.inf, math.inf)
    with requests.Session() as session:
        for done in range(1, rounds + 1):
            times = []
            for number, path in enumerate(samples() * 8):
                started = time.perf_counter()
                # A PNG ends at its end mark: what follows changes only what a cache knows it by.
                ask(url, path.read_bytes() + uuid.uuid4().bytes, token, session)
                if number >= 8:
                    times.append((time.perf_counter() - started) * 1000)
            best = min(best, (float(np.percentile(times, 95)), statistics.median(times)))
            if best[0] <= enough or (
                done > 1 and best[0] > 2.5 * enough > 0
            ):  # good enough, or twice beyond what a busy machine explains
                break
    return best
