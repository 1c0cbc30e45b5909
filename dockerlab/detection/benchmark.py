"""The size ladder: build every rung from its Dockerfile, run it, and put size, times and agreement in one table.

`make ladder` builds and measures everything anew. A lesson keeps the images that are here and made of the same files: what their builds
took was noted when they were built (build/rungs.json); starts, latency and boxes are measured each time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import docker
import numpy as np
import pandas as pd
import requests

from dockerlab.containers import container
from dockerlab.core import polling
from dockerlab.detection import api_client
from dockerlab.detection.api_client import samples
from dockerlab.detection.variants import RUNGS, ensure_rung
from dockerlab.images import image, image_report

COLUMNS = [
    "rung",
    "title",
    "tag",
    "disk_bytes",
    "download_bytes",
    "build_seconds",
    "rebuild_seconds",
    "cold_start_seconds",
    "latency_p50_ms",
    "latency_p95_ms",
    "agreement",
]
STARTS, REQUESTS = 3, 40
GPU_ONLY = ("nvidia", "triton", "cuda", "cupy")  # packages that do nothing without a GPU


def cold_start(tag: str, client: docker.DockerClient, **options: Any) -> float:
    """Seconds from `docker run` to the first 200 of POST /detect. Asks the engine."""
    started = time.monotonic()
    with container.running(tag, ready=None, client=client, **options) as service:
        return _until_it_detects(service, started)


def _until_it_detects(service: container.Running, started: float) -> float:
    picture, session = samples()[0].read_bytes(), requests.Session()

    def detects() -> bool:
        try:
            return session.post(
                f"{service.url}/detect", files={"image": ("scene.jpg", picture, "image/jpeg")}, timeout=60
            ).ok
        except requests.RequestException:
            return False

    with session:
        detected = polling.wait_until(detects, 180, interval=0.01)
    if not detected:
        raise container.ContainerFailed(
            f"{service.container.name} never answered a detection.",
            service.logs(3),
            "Read its last lines above.",
        )
    return time.monotonic() - started


def latencies(url: str, count: int = REQUESTS) -> list[float]:
    """Milliseconds of `count` detections, one after another over one connection, after three that do not count."""
    picture, times = samples()[0].read_bytes(), []
    with requests.Session() as session:
        for number in range(count + 3):
            started = time.perf_counter()
            session.post(
                f"{url}/detect", files={"image": ("scene.jpg", picture, "image/jpeg")}, timeout=60
            ).raise_for_status()
            if number >= 3:
                times.append((time.perf_counter() - started) * 1000)
    return times


Answers = dict[str, api_client.Answer]


def measure_rung(
    name: str,
    client: docker.DockerClient,
    reference: Answers | None = None,
    *,
    fresh: bool = True,
    starts: int = STARTS,
) -> tuple[dict[str, Any], Answers]:
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
    agreement = statistics.fmean(
        api_client.agreement(reference[picture], answers[picture]) for picture in answers
    )
    row = {
        "rung": name,
        "title": rung.title,
        "tag": rung.tag,
        "disk_bytes": report.disk_bytes,
        "download_bytes": report.download_bytes,
        "build_seconds": round(seconds["build_seconds"], 1),
        "rebuild_seconds": round(seconds["rebuild_seconds"], 2),
        "cold_start_seconds": round(statistics.median(cold), 2),
        "latency_p50_ms": round(float(np.percentile(times, 50)), 1),
        "latency_p95_ms": round(float(np.percentile(times, 95)), 1),
        "agreement": round(agreement, 3),
    }
    return row, answers


def ladder(
    names: Sequence[str],
    client: docker.DockerClient,
    *,
    fresh: bool = True,
    starts: int = STARTS,
    on_row: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Measure the rungs in turn, COLUMNS of each; agreement is against the first of them. Asks the engine.

    `on_row` gets the rows so far after each, since a whole ladder takes minutes.
    """
    rows, reference = [], None
    for name in names:
        row, answers = measure_rung(name, client, reference, fresh=fresh, starts=starts)
        reference = reference or answers
        rows.append(row)
        if on_row:
            on_row(pd.DataFrame(rows, columns=COLUMNS))
    return pd.DataFrame(rows, columns=COLUMNS)


def sizes(tags: Mapping[str, str], client: docker.DockerClient) -> pd.DataFrame:
    """Both sizes of several images, name -> tag, in the order given: columns rung, disk_bytes, download_bytes. Asks the engine."""
    rows = [
        (name, report.disk_bytes, report.download_bytes)
        for name, report in ((name, image.inspect(tag, client)) for name, tag in tags.items())
    ]
    return pd.DataFrame(rows, columns=["rung", "disk_bytes", "download_bytes"])


def packages(report: image_report.ImageReport) -> pd.DataFrame:
    """What an image holds in its folders of Python packages, heaviest first: package, MB, group ("gpu" or "other"). Pure.

    A package is a folder or file there; what `*.libs` folders hold counts to the package that they are named after.
    """
    found = report.files(top=10**9)
    parts = found[found["kind"] != "deleted"]["path"].str.extract(
        r"(?:site|dist)-packages/(?P<first>[^/]+)(?:/(?P<second>[^/]+))?"
    )
    weights = found.assign(first=parts["first"], second=parts["second"]).dropna(subset=["first"])
    names = weights["first"].str.replace(r"(\.libs|\.py|-[^-]+\.(dist|egg)-info)$", "", regex=True)
    names = names.where(names != "nvidia", "nvidia " + weights["second"].fillna(""))
    table = (
        weights.groupby(names.rename("package"))["MB"]
        .sum()
        .sort_values(ascending=False)
        .round(1)
        .reset_index()
    )
    return table.assign(group=["gpu" if name.startswith(GPU_ONLY) else "other" for name in table["package"]])
