"""The ladder keeps what is here and made of the same files, and says what fills an image."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.errors import ImageNotFound

from dockerlab.detection import benchmark, variants
from dockerlab.images import image, image_report
from dockerlab.images.build_report import BuildReport, Step

NAME = "tiny"


@pytest.fixture
def builds(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[dict[str, Any]]]:
    """A ladder of one small rung in a folder of its own; every build of it is listed."""
    assets = tmp_path / "assets"
    for name, text in {
        "detection-api/Dockerfile.tiny": f"FROM {tiny_image}\nRUN mkdir -p /app\nCOPY app /app\n",
        "detection-api/app/main.py": "one = 1\n",
        "detection-api/Dockerfile.other": "FROM scratch\n",
        "model/harbour-n.pt": "weights",
    }.items():
        (assets / name).parent.mkdir(parents=True, exist_ok=True)
        (assets / name).write_text(text)
    made: list[dict[str, Any]] = []
    real = variants.build

    def recorded(*args: Any, **options: Any) -> Any:
        made.append(options)
        return real(*args, **options)

    monkeypatch.setattr(variants, "ASSETS", assets)
    monkeypatch.setattr(variants, "BUILD", tmp_path / "build")
    monkeypatch.setattr(variants, "RUNGS", {NAME: variants.Rung(NAME, "for a test", (tiny_image,))})
    monkeypatch.setattr(variants.wheel_index, "torch_index", lambda client: "")
    monkeypatch.setattr(variants, "build", recorded)
    yield made
    for tag in (variants.RUNGS[NAME].tag, "dockerlab-ladder:tiny-edited"):
        with suppress(ImageNotFound):
            client.images.remove(tag, force=True)


def _present(client: docker.DockerClient, reference: str) -> bool:
    """Other tests make and remove images meanwhile, which a list of all of them does not survive."""
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


@pytest.mark.engine
def test_a_rung_is_built_once_and_kept(client: docker.DockerClient, builds: list[dict[str, Any]]) -> None:
    first = variants.ensure_rung(NAME, client)
    assert builds[0]["no_cache"] and {"build_seconds", "rebuild_seconds"} == set(first)
    assert not _present(client, "dockerlab-ladder:tiny-edited")
    count = len(builds)
    assert variants.ensure_rung(NAME, client) == first
    assert len(builds) == count, "an image made of the same files was built again"


@pytest.mark.engine
def test_whoever_needs_only_the_image_gets_it_once(
    client: docker.DockerClient, builds: list[dict[str, Any]]
) -> None:
    for _ in range(2):
        variants.have_rung(NAME, client)
    assert _present(client, variants.RUNGS[NAME].tag)
    assert [options.get("no_cache") for options in builds] == [None]


@pytest.mark.engine
def test_edited_code_is_built_but_not_measured_anew(
    client: docker.DockerClient, builds: list[dict[str, Any]]
) -> None:
    first = variants.ensure_rung(NAME, client)
    count, before = len(builds), client.images.get(variants.RUNGS[NAME].tag).id
    (variants.ASSETS / "detection-api/app/main.py").write_text("one = 2\n")
    assert variants.ensure_rung(NAME, client) == first
    assert [options.get("no_cache") for options in builds[count:]] == [None]
    assert client.images.get(variants.RUNGS[NAME].tag).id != before
    assert not _present(client, before), "the replaced image stays without a name"


@pytest.mark.engine
def test_another_dockerfile_is_measured_anew(
    client: docker.DockerClient, builds: list[dict[str, Any]]
) -> None:
    variants.ensure_rung(NAME, client)
    count = len(builds)
    (variants.ASSETS / "detection-api/Dockerfile.other").write_text("FROM scratch\nLABEL a=b\n")
    variants.ensure_rung(NAME, client)
    assert len(builds) == count, "the Dockerfile of another rung counts for nothing"
    own = variants.ASSETS / "detection-api/Dockerfile.tiny"
    own.write_text(own.read_text() + "RUN touch /another\n")
    variants.ensure_rung(NAME, client)
    assert builds[count]["no_cache"]


@pytest.mark.engine
def test_fresh_measures_in_any_case_and_leaves_no_old_image(
    client: docker.DockerClient, builds: list[dict[str, Any]]
) -> None:
    variants.ensure_rung(NAME, client)
    old, count = client.images.get(variants.RUNGS[NAME].tag).id, len(builds)
    variants.ensure_rung(NAME, client, fresh=True)
    new = client.images.get(variants.RUNGS[NAME].tag).id
    assert builds[count]["no_cache"]
    assert new == old or not _present(client, old)


def test_only_a_build_without_any_cached_run_is_noted_as_one_without_a_cache() -> None:
    def report(*steps: tuple[str, bool]) -> BuildReport:
        return BuildReport("", None, [Step(name, cached=cached) for name, cached in steps])

    assert variants._is_cold(report(("[2/4] WORKDIR /app", True), ("[3/4] RUN pip", False)))
    assert not variants._is_cold(report(("[a 2/4] RUN apt", True), ("[3/4] RUN pip", False)))
    assert not variants._is_cold(report(("[2/2] COPY app app", False))), (
        "what is fully cached may not list its RUNs"
    )


def test_notes_add_up_and_a_damaged_file_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "BUILD", tmp_path)
    variants.note("a", "x", build_seconds=1.234)
    variants.note("a", "x", rebuild_seconds=0.5)
    variants.note("a", "y", build_seconds=9)
    assert variants.notes("a", "x") == {"build_seconds": 1.23, "rebuild_seconds": 0.5}
    assert variants.notes("b", "x") == {}
    (tmp_path / "rungs.json").write_text("{cut")
    assert variants.notes("a", "x") == {}


def test_notes_taken_at_the_same_time_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "BUILD", tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: variants.note(f"rung {number}", "x", build_seconds=number), range(100)))
    assert all(variants.notes(f"rung {number}", "x") == {"build_seconds": number} for number in range(100))


def test_packages_are_added_up_by_their_folder() -> None:
    site = "usr/local/lib/python3.11/site-packages"
    layers = [
        image_report.Layer(
            "COPY",
            files={
                f"{site}/torch/lib/a.so": 5_000_000,
                f"{site}/torch-2.0.dist-info/RECORD": 100_000,
                "usr/bin/python": 7_000_000,
            },
        ),
        image_report.Layer(
            "RUN",
            files={
                f"{site}/nvidia/cudnn/lib/b.so": 9_000_000,
                f"{site}/nvidia/nccl/c.so": 1_000_000,
                f"{site}/numpy/d.so": 2_000_000,
                f"{site}/numpy.libs/blas.so": 3_000_000,
                f"{site}/six.py": 200_000,
            },
        ),
    ]
    table = benchmark.packages(image_report.ImageReport("x", layers, {})).set_index("package")
    assert table["MB"].to_dict() == {
        "nvidia cudnn": 9.0,
        "torch": 5.1,
        "numpy": 5.0,
        "nvidia nccl": 1.0,
        "six": 0.2,
    }
    assert set(table.index[table["group"] == "gpu"]) == {"nvidia cudnn", "nvidia nccl"}


@pytest.mark.engine
def test_the_download_is_what_a_registry_stores_but_for_the_compressor(
    client: docker.DockerClient, registry: str
) -> None:
    """`docker push` packs with Go's gzip, which packs a few per cent less tightly than zlib at the same level."""
    variants.have_rung("minimal", client)
    source, name = variants.RUNGS["minimal"].tag, f"{registry}/harbour/minimal"
    client.images.get(source).tag(name, "1")
    try:
        assert "error" not in client.images.push(name, tag="1").lower()
    finally:
        client.images.remove(f"{name}:1")
    kinds = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    manifest = requests.get(
        f"http://{registry}/v2/harbour/minimal/manifests/1", headers={"Accept": kinds}, timeout=30
    ).json()
    stored = sum(layer["size"] for layer in manifest["layers"])
    assert 0.93 * stored < image.inspect(source, client).download_bytes <= stored
    assert stored <= 60e6, "the smallest rung is to be fetched from a registry in 60 MB"
