"""The image variants of the size ladder: their Dockerfiles, how each is built, and what was noted of its build (build/rungs.json)."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound
from filelock import FileLock

from dockerlab.core.settings import ASSETS, BUILD
from dockerlab.detection import wheel_index
from dockerlab.engine import error_messages, naming
from dockerlab.images import base_images
from dockerlab.images.build import build
from dockerlab.images.build_cache import cache_records, forget
from dockerlab.images.build_report import BuildReport


@dataclass(frozen=True)
class Rung:
    """One way to package the detection API."""

    name: str
    title: str
    bases: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile in the context."""
        return f"Dockerfile.{self.name}"

    @property
    def tag(self) -> str:
        """The tag of its image."""
        return naming.own(f"dockerlab-api:{self.name}")


LOCKED_DOWN = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}


RUNGS = {
    rung.name: rung
    for rung in (
        Rung("naive", "full base, CUDA torch", (base_images.FULL,)),
        Rung("slim", "slim base", (base_images.SLIM,)),
        Rung("cpu", "CPU torch", (base_images.SLIM,)),
        Rung("staged", "two stages, same packages", (base_images.SLIM,)),
        Rung("multistage", "ONNX Runtime, no torch", (base_images.SLIM,)),
        Rung("minimal", "pruned, minimal base", (base_images.SLIM, base_images.DISTROLESS), LOCKED_DOWN),
    )
}


def stage_context(folder: Path = BUILD / "detection-api") -> Path:
    """Copy the detection API and its model to a folder that may be edited and built; returns it.

    What stood there before is replaced, so every lesson starts from the same files.
    """
    with error_messages.plainly():
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(
            ASSETS / "detection-api",
            folder,
            ignore=shutil.ignore_patterns("__pycache__", "tests", ".pytest_cache"),
        )
        (folder / "model").mkdir(exist_ok=True)
        shutil.copy(ASSETS / "model" / "harbour-n.pt", folder / "model")
    return folder


def build_rung(name: str, context: Path, client: docker.DockerClient, **options: Any) -> BuildReport:
    """Build one rung from a staged context; keywords go to `build`. Asks the engine."""
    rung = RUNGS[name]
    for base in rung.bases:
        base_images.ensure(base, client)
    torch = {} if name in ("naive", "slim") else {"TORCH_INDEX": wheel_index.torch_index(client)}
    mark = fingerprint(name, context, client)
    report = build(
        context,
        dockerfile=rung.dockerfile,
        buildargs=torch,
        labels={"dockerlab.rung": mark},
        client=client,
        **{"tag": rung.tag} | options,
    )
    if report.tag == rung.tag and _is_cold(report):
        note(name, fingerprint(name, context, client, code=False), build_seconds=report.seconds)
    return report


def _is_cold(report: BuildReport) -> bool:
    """Whether a build took no RUN from the cache. A WORKDIR always comes from there, and what nothing asks for is not even listed."""
    ran, cached = (any("] RUN " in step for step in steps) for steps in (report.ran, report.cached))
    return ran and not cached


def fingerprint(name: str, context: Path, client: docker.DockerClient, code: bool = True) -> str:
    """What a rung is made of, in 16 characters: its files (not the other rungs' Dockerfiles) and its bases. Asks the engine.

    Without `code` the files of the server are left out: what remains decides how long a build takes.
    """
    rung, total = RUNGS[name], hashlib.sha256()
    for path in sorted(
        path for path in context.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ):
        place = path.relative_to(context)
        if (code or place.parts[0] != "app") and (
            not path.name.startswith("Dockerfile.") or path.name == rung.dockerfile
        ):
            content = path.read_bytes()
            total.update(f"{place.as_posix()}\0{len(content)}\0".encode() + content)
    for base in rung.bases:
        total.update("\0".join(client.images.get(base).attrs["RootFS"]["Layers"]).encode())
    return total.hexdigest()[:16]


def kept(name: str, mark: str, client: docker.DockerClient) -> bool:
    """Whether the rung's image is on the engine and made of these files. Asks the engine."""
    try:
        labels: dict[str, str] = client.images.get(RUNGS[name].tag).labels
    except ImageNotFound:
        return False
    return labels.get("dockerlab.rung") == mark


def notes(name: str, recipe: str) -> dict[str, float]:
    """Seconds that builds of this rung took on this machine: build_seconds, rebuild_seconds; empty where none was noted.

    `recipe` is its fingerprint without code.
    """
    return _all_notes().get(f"{name} {recipe}", {})


def note(name: str, recipe: str, **seconds: float) -> None:
    """Add to what is noted of a rung; lessons and tests that run at the same time lose nothing of each other's."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with FileLock(BUILD / ".rungs.lock"):
        data = _all_notes()
        data[f"{name} {recipe}"] = data.get(f"{name} {recipe}", {}) | {
            key: round(value, 2) for key, value in seconds.items()
        }
        temporary = BUILD / ".rungs.new"
        temporary.write_text(json.dumps(data, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(BUILD / "rungs.json")


def _all_notes() -> dict[str, dict[str, float]]:
    try:
        noted: dict[str, dict[str, float]] = json.loads((BUILD / "rungs.json").read_text(encoding="utf-8"))
        return noted
    except (OSError, ValueError):
        return {}


def edit_one_line(context: Path, mark: str) -> None:
    """Change one line of application code, as a developer would."""
    main = context / "app" / "main.py"
    main.write_text(main.read_text(encoding="utf-8").rstrip("\n") + f"\n# edited: {mark}\n", encoding="utf-8")


def have_rung(name: str, client: docker.DockerClient) -> None:
    """Build a rung where no image has its tag, for whoever needs the image and no measurement. Asks the engine."""
    if base_images.present(client, RUNGS[name].tag):
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"rung-{name}-", dir=BUILD) as folder:
        build_rung(name, stage_context(Path(folder) / "detection-api"), client)


def ensure_rung(name: str, client: docker.DockerClient, fresh: bool = False) -> dict[str, float]:
    """Make a rung's image present and return its build_seconds and rebuild_seconds. Asks the engine.

    The first are those of a build without a cache, the second those of a build after one edited line of code. Both are measured where
    nothing is noted of a rung made of these files, or where `fresh` asks for it.
    """
    rung = RUNGS[name]
    for base in rung.bases:
        base_images.ensure(base, client)
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"ladder-{name}-", dir=BUILD) as folder:
        context = stage_context(Path(folder) / "detection-api")
        recipe = fingerprint(name, context, client, code=False)
        known, before = {} if fresh else notes(name, recipe), _image_id(rung.tag, client)
        if "build_seconds" not in known:
            note(name, recipe, build_seconds=build_rung(name, context, client, no_cache=True).seconds)
        elif not kept(name, fingerprint(name, context, client), client):
            build_rung(name, context, client)
        if "rebuild_seconds" not in known:
            note(name, recipe, rebuild_seconds=_rebuild(name, context, client))
        if before != _image_id(rung.tag, client):  # naive holds 6.7 GB, and would stay under no name
            _remove(before, client)
        return notes(name, recipe)


def _rebuild(name: str, context: Path, client: docker.DockerClient) -> float:
    """Seconds of a build after one edited line; its image goes again."""
    build_rung(name, context, client)  # so that its steps are in the cache, whoever built the image
    edit_one_line(context, str(time.time_ns()))
    before = {record["ID"] for record in cache_records(client)}
    edited = build_rung(name, context, client, tag=f"dockerlab-ladder:{name}-edited")
    _remove(edited.tag, client)
    forget(edited, before, client)
    return edited.seconds


def _image_id(tag: str, client: docker.DockerClient) -> str | None:
    try:
        return str(client.images.get(tag).id)
    except ImageNotFound:
        return None


def _remove(reference: str | None, client: docker.DockerClient) -> None:
    """Remove an image that nothing uses any more; one with another tag or a container stays."""
    if reference:
        with suppress(APIError):
            client.images.remove(reference)
