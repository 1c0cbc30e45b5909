"""The size ladder: build every rung from its Dockerfile, run it, and put size, times and agreement in one table.

`make ladder` builds and measures everything anew. A lesson keeps the images that are here and made of the same files: what their builds
took was noted when they were built (build/rungs.json); starts, latency and boxes are measured each time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import numpy as np
import pandas as pd
import requests
from docker.errors import APIError, ImageNotFound
from filelock import FileLock

from dockerlab.containers import container
from dockerlab.core.settings import BUILD, ROOT
from dockerlab.detection import api_client, wheel_index
from dockerlab.engine import connection, error_messages, naming
from dockerlab.images import base_images, image
from dockerlab.images.build import BuildReport, build

ASSETS = ROOT / "assets"
COLUMNS = ["rung", "title", "tag", "disk_bytes", "download_bytes", "build_seconds", "rebuild_seconds", "cold_start_seconds",
           "latency_p50_ms", "latency_p95_ms", "agreement"]
STARTS, REQUESTS = 3, 40
GPU_ONLY = ("nvidia", "triton", "cuda", "cupy")  # packages that do nothing without a GPU


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
        shutil.copytree(ASSETS / "detection-api", folder, ignore=shutil.ignore_patterns("__pycache__", "tests", ".pytest_cache"))
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
    report = build(context, dockerfile=rung.dockerfile, buildargs=torch, labels={"dockerlab.rung": mark}, client=client, **{"tag": rung.tag} | options)
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
    for path in sorted(path for path in context.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        place = path.relative_to(context)
        if (code or place.parts[0] != "app") and (not path.name.startswith("Dockerfile.") or path.name == rung.dockerfile):
            content = path.read_bytes()
            total.update(f"{place.as_posix()}\0{len(content)}\0".encode() + content)
    for base in rung.bases:
        total.update("\0".join(client.images.get(base).attrs["RootFS"]["Layers"]).encode())
    return total.hexdigest()[:16]


def kept(name: str, mark: str, client: docker.DockerClient) -> bool:
    """Whether the rung's image is on the engine and made of these files. Asks the engine."""
    try:
        return client.images.get(RUNGS[name].tag).labels.get("dockerlab.rung") == mark
    except ImageNotFound:
        return False


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
        data[f"{name} {recipe}"] = data.get(f"{name} {recipe}", {}) | {key: round(value, 2) for key, value in seconds.items()}
        temporary = BUILD / ".rungs.new"
        temporary.write_text(json.dumps(data, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(BUILD / "rungs.json")


def _all_notes() -> dict[str, dict[str, float]]:
    try:
        return json.loads((BUILD / "rungs.json").read_text(encoding="utf-8"))
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


def cache_records(client: docker.DockerClient) -> list[dict[str, Any]]:
    """What the build cache holds, as `docker buildx du` lists it; without the sizes of images and volumes, which take long. Asks the engine."""
    api = client.api  # a session of requests; its df() cannot ask for a part
    answer = api.get(f"{api.base_url}/v{api.api_version}/system/df", params={"type": "build-cache"}, timeout=api.timeout)
    answer.raise_for_status()
    return answer.json().get("BuildCache") or []


def forget(report: BuildReport, before: set[str], client: docker.DockerClient) -> None:
    """Free what the RUN steps of a build left in the cache; after an edit of `naive` that is 5 GB. Asks the engine.

    `before` are the ids of `cache_records` from before it: these stay. So do steps of others with the same command, which were not made while
    ours ran: a record names neither its build nor its Dockerfile.
    """
    ran = [(step, _RUN.match(step.name)) for step in report.instructions if not step.cached]
    made = [(command["command"], report.began + step.started, step.seconds) for step, command in ran if command]
    new = [record["ID"] for record in cache_records(client) if record["ID"] not in before and any(
        record.get("Description", "").endswith(f" {command}") and -1 <= _seconds(record["CreatedAt"]) - started <= seconds + 1
        for command, started, seconds in made)]
    for record in reversed(new):
        with suppress(APIError):
            client.api.prune_builds(filters={"id": [record]}, all=True)


# The command of a RUN step, without its flags.
_RUN = re.compile(r"\[[^]]+\] RUN (?:--\S+ )*(?P<command>.+)", re.DOTALL)


def _seconds(stamp: str) -> float:
    """A time of the engine as seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()


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


def samples() -> list[Path]:
    """The sample pictures of the course."""
    return sorted((ASSETS / "images").glob("*.jpg"))


def cold_start(tag: str, client: docker.DockerClient, **options: Any) -> float:
    """Seconds from `docker run` to the first 200 of POST /detect. Asks the engine."""
    started = time.monotonic()
    with container.running(tag, ready=None, client=client, **options) as service:
        return _until_it_detects(service, started)


def _until_it_detects(service: container.Running, started: float) -> float:
    picture, session = samples()[0].read_bytes(), requests.Session()

    def detects() -> bool:
        try:
            return session.post(f"{service.url}/detect", files={"image": ("scene.jpg", picture, "image/jpeg")}, timeout=60).ok
        except requests.RequestException:
            return False

    if not container.wait_until(detects, 180, interval=0.01):
        raise container.ContainerFailed(f"{service.container.name} never answered a detection.", service.logs(3), "Read its last lines above.")
    return time.monotonic() - started


def latencies(url: str, count: int = REQUESTS) -> list[float]:
    """Milliseconds of `count` detections, one after another over one connection, after three that do not count."""
    picture, session, times = samples()[0].read_bytes(), requests.Session(), []
    for number in range(count + 3):
        started = time.perf_counter()
        session.post(f"{url}/detect", files={"image": ("scene.jpg", picture, "image/jpeg")}, timeout=60).raise_for_status()
        if number >= 3:
            times.append((time.perf_counter() - started) * 1000)
    return times


Answers = dict[str, api_client.Answer]


def measure_rung(name: str, client: docker.DockerClient, reference: Answers | None = None, *, fresh: bool = True,
                 starts: int = STARTS) -> tuple[dict[str, Any], Answers]:
    """Bring one rung's image, start it `starts` times, ask it; returns its row and its answers. Asks the engine.

    With `fresh` it is built without a cache and rebuilt after an edit; else see `ensure_rung`.
    """
    rung, seconds = RUNGS[name], ensure_rung(name, client, fresh)
    report = image.inspect(rung.tag, client)
    cold = [cold_start(rung.tag, client, **rung.options) for _ in range(starts - 1)]
    started = time.monotonic()
    with container.running(rung.tag, ready=None, client=client, **rung.options) as service:
        cold.append(_until_it_detects(service, started))
        answers = {picture.name: api_client.detect(service.url, picture) for picture in samples()}
        times = latencies(service.url)
    reference = reference or answers
    agreement = statistics.fmean(api_client.agreement(reference[picture], answers[picture]) for picture in answers)
    row = {
        "rung": name, "title": rung.title, "tag": rung.tag, "disk_bytes": report.disk_bytes, "download_bytes": report.download_bytes,
        "build_seconds": round(seconds["build_seconds"], 1), "rebuild_seconds": round(seconds["rebuild_seconds"], 2),
        "cold_start_seconds": round(statistics.median(cold), 2),
        "latency_p50_ms": round(float(np.percentile(times, 50)), 1), "latency_p95_ms": round(float(np.percentile(times, 95)), 1),
        "agreement": round(agreement, 3),
    }
    return row, answers


def ladder(names: Sequence[str], client: docker.DockerClient, *, fresh: bool = True, starts: int = STARTS,
           say: Callable[[str], None] | None = None) -> pd.DataFrame:
    """Measure the rungs in turn, COLUMNS of each; agreement is against the first of them. `say` hears a line a rung. Asks the engine."""
    rows, reference = [], None
    for name in names:
        row, answers = measure_rung(name, client, reference, fresh=fresh, starts=starts)
        reference = reference or answers
        rows.append(row)
        if say:
            say(f"{name}: {image.mb(row['disk_bytes'])} on disk, {image.mb(row['download_bytes'])} to download, "
                f"built in {row['build_seconds']:.0f} s, rebuilt in {row['rebuild_seconds']} s, answers after {row['cold_start_seconds']} s, "
                f"agreement {row['agreement']}")
            write(pd.DataFrame(rows, columns=COLUMNS))
    return pd.DataFrame(rows, columns=COLUMNS)


def sizes(tags: Mapping[str, str], client: docker.DockerClient) -> pd.DataFrame:
    """Both sizes of several images, name -> tag, in the order given: columns rung, disk_bytes, download_bytes. Asks the engine."""
    rows = [(name, report.disk_bytes, report.download_bytes) for name, report in ((name, image.inspect(tag, client)) for name, tag in tags.items())]
    return pd.DataFrame(rows, columns=["rung", "disk_bytes", "download_bytes"])


def packages(report: image.ImageReport) -> pd.DataFrame:
    """What an image holds in its folders of Python packages, heaviest first: package, MB, group ("gpu" or "other"). Pure.

    A package is a folder or file there; what `*.libs` folders hold counts to the package that they are named after.
    """
    found = report.files(top=10**9)
    parts = found[found["kind"] != "deleted"]["path"].str.extract(r"(?:site|dist)-packages/(?P<first>[^/]+)(?:/(?P<second>[^/]+))?")
    weights = found.assign(first=parts["first"], second=parts["second"]).dropna(subset=["first"])
    names = weights["first"].str.replace(r"(\.libs|\.py|-[^-]+\.(dist|egg)-info)$", "", regex=True)
    names = names.where(names != "nvidia", "nvidia " + weights["second"].fillna(""))
    table = weights.groupby(names.rename("package"))["MB"].sum().sort_values(ascending=False).round(1).reset_index()
    return table.assign(group=["gpu" if name.startswith(GPU_ONLY) else "other" for name in table["package"]])


def write(frame: pd.DataFrame) -> None:
    """Write build/ladder.csv and build/ladder.png."""
    from dockerlab.notebook.charts.ladder import size_ladder

    BUILD.mkdir(parents=True, exist_ok=True)
    frame.drop(columns="title").to_csv(BUILD / "ladder.csv", index=False)
    size_ladder(frame).savefig(BUILD / "ladder.png", dpi=120)


def main(argv: Sequence[str] | None = None) -> int:
    """`dockerlab ladder [RUNG ...]`."""
    parser = argparse.ArgumentParser(prog="dockerlab ladder", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rungs", nargs="*", choices=[[], *RUNGS], help="default: all")
    args = parser.parse_args(argv)
    frame = ladder(args.rungs or list(RUNGS), connection.connect(timeout=900), say=lambda line: print(line, flush=True))
    print(frame.to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
