"""Reading images: hand-made tars for the rules, one real image for the engine's stream."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import docker
import pytest
import zstandard

from dockerlab import image
from dockerlab.image import ImageUnreadable, inspect, inspect_tar


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def saved(*layers: bytes, history: list[dict[str, object]] | None = None) -> io.BytesIO:
    """A `docker save` tar; as engines do, the manifest comes last."""
    buffer = io.BytesIO()
    names = [f"blobs/sha256/{number:064d}" for number in range(len(layers))]
    config = {"config": {"User": "10001"}, "history": history or [{"created_by": f"RUN step {n}"} for n in range(len(layers))]}
    manifest = [{"Config": "blobs/sha256/config", "RepoTags": ["a:b"], "Layers": names}]
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in [*zip(names, layers, strict=True), ("blobs/sha256/config", json.dumps(config).encode()),
                              ("manifest.json", json.dumps(manifest).encode())]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def test_a_replaced_file_is_wasted() -> None:
    report = inspect_tar(saved(layer({"a": b"x" * 1000, "b": b"y" * 10}), layer({"a": b"z" * 400})))
    assert report.disk_bytes == 1410
    assert report.wasted_bytes == 1000
    assert report.paths() == ["a", "b"]
    assert list(report.wasted()["hidden by"]) == ["RUN step 1"]
    assert report.user == "10001"


def test_a_deleted_file_still_ships() -> None:
    report = inspect_tar(saved(layer({"d/a": b"x" * 500, "d/e/b": b"x" * 70}), layer({"d/.wh.a": b""})))
    assert (report.disk_bytes, report.wasted_bytes, report.paths()) == (570, 500, ["d/e/b"])


def test_a_deleted_folder_hides_all_below_it() -> None:
    report = inspect_tar(saved(layer({"d/a": b"x" * 500, "d/e/b": b"x" * 70, "dd": b"1"}), layer({".wh.d": b""})))
    assert (report.wasted_bytes, report.paths()) == (570, ["dd"])


def test_an_opaque_folder_hides_what_was_in_it_but_not_what_is_new() -> None:
    report = inspect_tar(saved(layer({"d/a": b"x" * 500}), layer({"d/.wh..wh..opq": b"", "d/n": b"new"})))
    assert (report.wasted_bytes, report.paths()) == (500, ["d/n"])


def test_both_sizes_do_not_depend_on_how_a_layer_is_stored() -> None:
    plain = layer({"text": Path(image.__file__).read_bytes() * 40})
    stored = [plain, gzip.compress(plain, 1), zstandard.compress(plain)]
    reports = [inspect_tar(saved(each)) for each in stored]
    assert len({report.disk_bytes for report in reports}) == 1
    assert len({report.download_bytes for report in reports}) == 1
    assert reports[0].download_bytes == pytest.approx(len(gzip.compress(plain, 6)), rel=0.01)


def test_history_without_layers_is_skipped_and_instructions_are_readable() -> None:
    history = [{"created_by": "ENV A=1", "empty_layer": True}, {"created_by": "RUN /bin/sh -c pip install x # buildkit"}]
    assert inspect_tar(saved(layer({"a": b"1"}), history=history)).layers[0].instruction == "RUN pip install x"


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "no.tar").write_bytes(b"nonsense" * 200)
    with pytest.raises(ImageUnreadable, match="docker save"):
        inspect_tar(tmp_path / "no.tar")


def test_repr_says_nothing_that_changes_from_day_to_day() -> None:
    assert repr(inspect_tar(saved(layer({"a": b"1"})), "me:1")) == "ImageReport(me:1: 1 layers)"


@pytest.mark.engine
def test_the_engines_stream_and_a_saved_file_agree(client: docker.DockerClient, tiny_image: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.tar"
    with path.open("wb") as file:
        for chunk in client.images.get(tiny_image).save(named=True):
            file.write(chunk)
    live, stored = inspect(tiny_image, client), inspect_tar(path)
    assert "bin/busybox" in live.paths()
    assert (live.disk_bytes, live.download_bytes) == (stored.disk_bytes, stored.download_bytes)
    assert live.disk_bytes > 1_000_000


@pytest.mark.engine
def test_an_image_that_is_not_there(client: docker.DockerClient) -> None:
    with pytest.raises(ImageUnreadable, match="no image dockerlab-nothing"):
        inspect("dockerlab-nothing:here", client)
