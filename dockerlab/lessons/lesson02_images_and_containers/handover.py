"""What lab 02 hands over: two images as tar files, a day's boxes, a stopped container that holds a table, and the class registry.

`hand_over()` makes them for the reader, `take_back()` removes them. The check makes its own, with other names, another port and other
content. The programs lie in assets/handover. Builds are reproducible: all times are fixed.
"""

from __future__ import annotations

import os
import random
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
import pandas as pd
import requests
from docker.errors import NotFound

from dockerlab.containers import container
from dockerlab.core import polling, settings, tars
from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.course import cleanup
from dockerlab.engine import connection, naming, object_labels
from dockerlab.images import base_images
from dockerlab.images.build import build

EPOCH = 1_700_000_000  # the time of every file and image
ASSETS = settings.ASSETS / "handover"
LABEL = "dockerlab.handover"
LABELS = ("container", "crane", "ship", "truck")
LOST = "dockerlab-lab02-lost"
REGISTRY = "dockerlab-lab02-registry"
FILES = {"monday.tar": "job", "tuesday.tar": "service"}


@dataclass(frozen=True)
class HandOver:
    """What the reader finds: where the two tar files and the boxes lie, the stopped container's name, and the registry's address."""

    folder: Path
    lost: str
    registry: str

    @property
    def tars(self) -> list[Path]:
        """The image files."""
        return [self.folder / name for name in FILES]

    @property
    def boxes(self) -> Path:
        """A day's boxes, label and score."""
        return self.folder / "boxes.csv"

    def frame(self) -> pd.DataFrame:
        """One row a thing, for the reader. Sizes in MB (10⁶ bytes)."""
        rows = [(path.name, "image file", f"{path.stat().st_size / 1e6:.0f} MB") for path in self.tars]
        rows += [
            (
                self.boxes.name,
                "a day's boxes",
                f"{len(self.boxes.read_text(encoding='utf-8').splitlines()) - 1} boxes",
            ),
            (self.lost, "stopped container", "on the engine"),
            (self.registry, "the class registry", "running"),
        ]
        return pd.DataFrame(rows, columns=["name", "what", "where or how large"]).set_index("name")


def hand_over(
    client: docker.DockerClient | None = None, folder: Path | None = None, again: bool = False
) -> HandOver:
    """Make what the lab hands over, as far as it is not there yet; `again` makes all of it anew. Asks the engine."""
    client, folder = client or connection.connect(), folder or settings.BUILD / "lab-02"
    if again:
        take_back(client, folder)
    folder.mkdir(parents=True, exist_ok=True)
    marks = object_labels.labels(kind="image") | {LABEL: "1"}
    for name, what in FILES.items():
        if not (folder / name).is_file():
            image_file(
                what,
                naming.own(f"dockerlab-handover:{name.removesuffix('.tar')}"),
                folder / name,
                client,
                marks,
            )
    boxes(folder / "boxes.csv", seed=2)
    lasting = object_labels.labels(kind="handover", process="") | {LABEL: "1"}
    lost = naming.own(LOST)
    if not client.containers.list(all=True, filters={"name": f"^{lost}$"}):
        lose(lost, naming.own("dockerlab-handover:night"), client, lasting)
    return HandOver(folder, lost, registry(naming.own(REGISTRY), client, lasting))


def take_back(client: docker.DockerClient | None = None, folder: Path | None = None) -> str:
    """Remove what was handed over and every image and container made of it; says what. Asks the engine."""
    report = cleanup.remove_labelled(client or connection.connect(), f"{LABEL}=1")
    shutil.rmtree(folder or settings.BUILD / "lab-02", ignore_errors=True)
    return str(report).splitlines()[0].partition(":")[0]


def image_file(
    what: str,
    tag: str,
    target: Path,
    client: docker.DockerClient,
    labels: Mapping[str, str],
    port: int = 9000,
    release: str = "harbour-3",
) -> list[str]:
    """Build `what` ("service", "job"), save it to `target` and take it off the engine; returns its layers' digests. Asks the engine."""
    layers = make(what, tag, client, labels, {"PORT": str(port)} if what == "service" else {}, release)
    partial = target.with_suffix(".part")
    with partial.open("wb") as file:
        file.writelines(client.images.get(tag).save(named=tag))
    partial.replace(target)
    client.images.remove(tag, force=True)
    return layers


def make(
    what: str,
    tag: str,
    client: docker.DockerClient,
    labels: Mapping[str, str],
    buildargs: Mapping[str, str],
    release: str,
) -> list[str]:
    """Build one of the programs of assets/handover; returns its layers' digests. Asks the engine."""
    base_images.ensure(base_images.DISTROLESS, client)
    with _folder() as context:
        (context / "app").mkdir()
        for path in sorted((ASSETS / what).iterdir()):
            shutil.copy(path, context if path.name == "Dockerfile" else context / "app")
        (context / "app" / "release.txt").write_text(f"{release}\n", encoding="utf-8")
        for path in (*(context / "app").iterdir(), context / "app"):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (EPOCH, EPOCH))
        marks = {
            key: value for key, value in labels.items() if key != object_labels.PROCESS_LABEL
        }  # whatever is made of the image would inherit it
        build(
            context,
            tag=tag,
            labels=marks,
            buildargs={**buildargs, "SOURCE_DATE_EPOCH": str(EPOCH)},
            client=client,
        )
    return list(client.images.get(tag).attrs["RootFS"]["Layers"])


def boxes(target: Path, seed: int) -> dict[str, int]:
    """Write a day's boxes that anybody may read; returns how many of each label."""
    day = random.Random(seed)
    rows = [(day.choice(LABELS), f"{day.uniform(0.25, 1):.2f}") for _ in range(day.randrange(120, 240))]
    target.write_text(
        "label,score\n" + "".join(f"{label},{score}\n" for label, score in rows), encoding="utf-8"
    )
    target.chmod(0o644)
    return {label: sum(row[0] == label for row in rows) for label in LABELS}


def lose(name: str, tag: str, client: docker.DockerClient, labels: Mapping[str, str]) -> None:
    """Leave a stopped container behind, whose writable layer holds a table. Asks the engine."""
    make("lost", tag, client, labels, {}, "night")
    lost = client.containers.create(
        tag, name=name, labels=dict(labels), environment={"NIGHT": f"{random.randrange(16**6):06x}"}
    )
    lost.start()
    if lost.wait(timeout=60)["StatusCode"] != 1:
        raise CourseError(
            f"{name} did not end as it should.",
            lost.logs(tail=1).decode(errors="replace"),
            "Run the cell again.",
        )


def table_of(name: str, client: docker.DockerClient) -> bytes:
    """The table in the writable layer of the container that `lose` left behind. Asks the engine."""
    lost = client.containers.get(name)
    path = next(each["Path"] for each in lost.diff() if each["Path"].endswith(".csv"))
    with _folder() as folder:
        (folder / "it.tar").write_bytes(b"".join(lost.get_archive(path)[0]))
        with tarfile.open(folder / "it.tar") as tar:
            return tars.content(tar, tar.getmembers()[0])


def registry(name: str, client: docker.DockerClient, labels: Mapping[str, str]) -> str:
    """A registry on a free port of 127.0.0.1, as `127.0.0.1:port`; one of that name that runs is kept. Asks the engine."""
    base_images.ensure(base_images.REGISTRY, client)
    try:
        box = client.containers.get(name)
        box.start()
    except NotFound:
        box = client.containers.run(
            base_images.REGISTRY,
            name=name,
            detach=True,
            ports={"5000/tcp": ("127.0.0.1", None)},
            labels=dict(labels),
        )
    address = container.published(box, 5000).removeprefix("http://")
    if not polling.wait_until(lambda: _answers(f"http://{address}/v2/"), 30):
        raise CourseError(
            "The registry does not answer.",
            box.logs(tail=1).decode(errors="replace"),
            f"Look at `docker logs {name}`.",
        )
    return address


def _answers(url: str) -> bool:
    try:
        return fetch(url, 2).ok
    except requests.RequestException:
        return False


class _folder:
    """A temporary folder below build/, where Docker Desktop may mount from, and that other users may enter."""

    def __enter__(self) -> Path:
        settings.BUILD.mkdir(parents=True, exist_ok=True)
        self.path = settings.BUILD / f".handover-{os.getpid()}-{random.randrange(16**8):08x}"
        self.path.mkdir(mode=0o755)
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


temporary_folder = _folder
