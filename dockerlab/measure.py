"""The size ladder: build every rung from its Dockerfile, run it, and put size, times and agreement in one table."""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pandas as pd
import requests

from dockerlab import bases, container, detect, engine, image, index
from dockerlab.build import BuildReport, build
from dockerlab.site import ROOT

ASSETS = ROOT / "assets"
BUILD = ROOT / "build"
COLUMNS = ["rung", "tag", "disk_bytes", "download_bytes", "build_seconds", "rebuild_seconds", "cold_start_seconds",
           "latency_p50_ms", "latency_p95_ms", "agreement"]
STARTS, REQUESTS = 3, 40


@dataclass(frozen=True)
class Rung:
    """One way to package the detection API."""

    name: str
    bases: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile in the context."""
        return f"Dockerfile.{self.name}"

    @property
    def tag(self) -> str:
        """The tag of its image."""
        return f"dockerlab-api:{self.name}"


LOCKED_DOWN = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
RUNGS = {
    rung.name: rung
    for rung in (
        Rung("naive", (bases.FULL,)),
        Rung("slim", (bases.SLIM,)),
        Rung("cpu", (bases.SLIM,)),
        Rung("multistage", (bases.SLIM,)),
        Rung("minimal", (bases.SLIM, bases.DISTROLESS), LOCKED_DOWN),
    )
}


def stage_context(folder: Path = BUILD / "detection-api") -> Path:
    """Copy the detection API and its model to a folder that may be edited and built; returns it.

    What stood there before is replaced, so every lesson starts from the same files.
    """
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
        bases.ensure(base, client)
    torch = {} if name in ("naive", "slim") else {"TORCH_INDEX": index.torch_index(client)}
    return build(context, dockerfile=rung.dockerfile, tag=rung.tag, buildargs=torch, client=client, **options)


def edit_one_line(context: Path, mark: str) -> None:
    """Change one line of application code, as a developer would."""
    main = context / "app" / "main.py"
    main.write_text(main.read_text(encoding="utf-8").rstrip("\n") + f"\n# edited: {mark}\n", encoding="utf-8")


def samples() -> list[Path]:
    """The sample pictures of the course."""
    return sorted((ASSETS / "images").glob("*.jpg"))


def cold_start(tag: str, client: docker.DockerClient, **options: Any) -> float:
    """Seconds from `docker run` to the first 200 of POST /detect. Asks the engine."""
    picture = samples()[0].read_bytes()
    session = requests.Session()
    started = time.monotonic()
    with container.running(tag, ready=None, client=client, **options) as service:

        def detects() -> bool:
            try:
                return session.post(f"{service.url}/detect", files={"image": ("scene.jpg", picture, "image/jpeg")}, timeout=60).ok
            except requests.RequestException:
                return False

        if not container.wait_until(detects, 180, interval=0.01):
            raise container.ContainerFailed(f"{tag} never answered a detection.", service.logs(3), "Read its last lines above.")
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


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (inclusive method of `statistics.quantiles`)."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def measure_rung(name: str, client: docker.DockerClient, reference: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Build one rung without a cache, rebuild it after an edit, start it, ask it; returns its row and its answers."""
    rung, context = RUNGS[name], stage_context(BUILD / f"ladder-{name}")
    first = build_rung(name, context, client, no_cache=True)
    edit_one_line(context, str(time.time_ns()))
    again = build_rung(name, context, client)
    report = image.inspect(rung.tag, client)
    starts = [cold_start(rung.tag, client, **rung.options) for _ in range(STARTS)]
    with container.running(rung.tag, client=client, timeout=180, **rung.options) as service:
        answers = {picture.name: detect.detect(service.url, picture) for picture in samples()}
        times = latencies(service.url)
    reference = reference or answers
    agreement = statistics.fmean(detect.agreement(reference[picture], answers[picture]) for picture in answers)
    row = {
        "rung": name, "tag": rung.tag, "disk_bytes": report.disk_bytes, "download_bytes": report.download_bytes,
        "build_seconds": round(first.seconds, 1), "rebuild_seconds": round(again.seconds, 2),
        "cold_start_seconds": round(statistics.median(starts), 2),
        "latency_p50_ms": round(percentile(times, 0.5), 1), "latency_p95_ms": round(percentile(times, 0.95), 1), "agreement": round(agreement, 3),
    }
    return row, answers


def ladder(names: Sequence[str], client: docker.DockerClient) -> pd.DataFrame:
    """Measure the rungs in turn; agreement is against the first of them. Asks the engine."""
    rows, reference = [], None
    for name in names:
        row, answers = measure_rung(name, client, reference)
        reference = reference or answers
        rows.append(row)
        print(f"{name}: {image.mb(row['disk_bytes'])} on disk, {image.mb(row['download_bytes'])} to download, "
              f"built in {row['build_seconds']:.0f} s, rebuilt in {row['rebuild_seconds']} s, answers after {row['cold_start_seconds']} s, "
              f"agreement {row['agreement']}", flush=True)
        write(pd.DataFrame(rows, columns=COLUMNS))
    return pd.DataFrame(rows, columns=COLUMNS)


def write(frame: pd.DataFrame) -> None:
    """Write build/ladder.csv and build/ladder.png."""
    from dockerlab.charts.ladder import size_ladder

    BUILD.mkdir(exist_ok=True)
    frame.to_csv(BUILD / "ladder.csv", index=False)
    size_ladder(frame).savefig(BUILD / "ladder.png", dpi=120)


def main(argv: Sequence[str] | None = None) -> int:
    """`dockerlab ladder [RUNG ...]`."""
    parser = argparse.ArgumentParser(prog="dockerlab ladder", description=__doc__)
    parser.add_argument("rungs", nargs="*", choices=[[], *RUNGS], help="default: all")
    args = parser.parse_args(argv)
    frame = ladder(args.rungs or list(RUNGS), engine.connect(timeout=900))
    print(frame.to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
