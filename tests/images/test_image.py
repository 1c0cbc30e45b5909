"""Reading images: hand-made tars for the rules, one real image for the engine's stream."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import tarfile
import tracemalloc
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import zstandard

from dockerlab.core import disk_cache
from dockerlab.core.units import mb
from dockerlab.engine import connection, object_labels
from dockerlab.images import gzip_estimate, image
from dockerlab.images.image import ImageUnreadable, inspect, inspect_tar
from dockerlab.notebook.charts.layers import layer_stack
from tests.support.daemons import second_daemon


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test reads for itself, whatever was read on this machine before."""
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image, "_REMEMBERED", {})


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
    config = {
        "config": {"User": "10001"},
        "history": history or [{"created_by": f"RUN step {n}"} for n in range(len(layers))],
    }
    manifest = [{"Config": "blobs/sha256/config", "RepoTags": ["a:b"], "Layers": names}]
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in [
            *zip(names, layers, strict=True),
            ("blobs/sha256/config", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ]:
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
    report = inspect_tar(
        saved(layer({"d/a": b"x" * 500, "d/e/b": b"x" * 70, "dd": b"1"}), layer({".wh.d": b""}))
    )
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
    history = [
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "RUN /bin/sh -c pip install x # buildkit"},
    ]
    assert (
        inspect_tar(saved(layer({"a": b"1"}), history=history)).layers[0].instruction == "RUN pip install x"
    )


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "no.tar").write_bytes(b"nonsense" * 200)
    with pytest.raises(ImageUnreadable, match="docker save"):
        inspect_tar(tmp_path / "no.tar")


def test_repr_says_nothing_that_changes_from_day_to_day() -> None:
    assert repr(inspect_tar(saved(layer({"a": b"1"})), "me:1")) == "ImageReport(me:1: 1 layers)"


def special(*entries: tuple[str, bytes, str]) -> bytes:
    """A layer of entries that are no regular files: name, type, link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(sized("file", 100), io.BytesIO(b"x" * 100))
        for name, kind, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            tar.addfile(entry)
    return buffer.getvalue()


def sized(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def test_links_and_devices_are_files_without_a_size() -> None:
    links = special(
        ("hard", tarfile.LNKTYPE, "file"),
        ("soft", tarfile.SYMTYPE, "file"),
        ("dev/null", tarfile.CHRTYPE, ""),
        ("folder", tarfile.DIRTYPE, ""),
    )
    report = inspect_tar(saved(links))
    assert report.disk_bytes == 100
    assert report.paths() == ["dev/null", "file", "hard", "soft"]


def test_a_file_in_the_place_of_a_folder_hides_the_folder_and_the_other_way_round() -> None:
    report = inspect_tar(saved(layer({"a/b": b"x" * 30, "c": b"y" * 7}), layer({"a": b"1", "c/d": b"2"})))
    assert (report.paths(), report.wasted_bytes) == (["a", "c/d"], 37)


def test_a_file_deleted_and_written_again_counts_once_as_waste() -> None:
    report = inspect_tar(saved(layer({"a": b"x" * 30}), layer({".wh.a": b""}), layer({"a": b"z" * 5})))
    assert (report.paths(), report.wasted_bytes, report.disk_bytes) == (["a"], 30, 35)
    assert [change.added for change in report.changes] == [("a",), (), ("a",)]


def test_the_table_counts_what_each_layer_did() -> None:
    report = inspect_tar(
        saved(
            layer({"d/a": b"x" * 2_000_000, "d/b": b"x", "c": b"1"}),
            layer({"c": b"2", "new": b"3"}),
            layer({".wh.d": b""}),
        )
    )
    frame = report.frame()
    assert frame[["added", "changed", "deleted"]].values.tolist() == [[3, 0, 0], [1, 1, 0], [0, 0, 2]]
    assert frame["MB wasted"].tolist() == [2.0, 0.0, 0.0]
    assert report.files(top=1).values.tolist() == [[0, "d/a", 2.0, "added"]]
    assert set(report.files(layer=2)["path"]) == {"d/a", "d/b"}
    assert report.wasted().iloc[0].tolist() == ["d/a", 2.0, "deleted", "RUN step 0", "RUN step 2"]


def test_an_image_without_layers() -> None:
    report = inspect_tar(saved(history=[{"created_by": "ENV A=1", "empty_layer": True}]))
    assert (report.disk_bytes, report.download_bytes, report.wasted_bytes, len(report.frame())) == (
        0,
        0,
        0,
        0,
    )


def test_one_blob_in_two_places_keeps_both_instructions() -> None:
    empty, buffer = layer({}), io.BytesIO()
    config = {"history": [{"created_by": "WORKDIR /a"}, {"created_by": "WORKDIR /b"}]}
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in (
            ("blobs/sha256/e", empty),
            ("blobs/sha256/c", json.dumps(config).encode()),
            (
                "manifest.json",
                json.dumps([{"Config": "blobs/sha256/c", "Layers": ["blobs/sha256/e"] * 2}]).encode(),
            ),
        ):
            tar.addfile(sized(name, len(content)), io.BytesIO(content))
    buffer.seek(0)
    assert [each.instruction for each in inspect_tar(buffer).layers] == ["WORKDIR /a", "WORKDIR /b"]


def test_the_older_layout_with_a_folder_for_each_layer_and_links_between_them() -> None:
    content, buffer = layer({"a": b"x" * 50}), io.BytesIO()
    config = {"config": {}, "history": [{"created_by": "COPY a /"}, {"created_by": "COPY again /"}]}
    manifest = [{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["one/layer.tar", "two/layer.tar"]}]
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (
            ("one/VERSION", b"1.0"),
            ("one/json", b"{}"),
            ("one/layer.tar", content),
            ("c.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
            ("repositories", b"{}"),
        ):
            tar.addfile(sized(name, len(data)), io.BytesIO(data))
        link = tarfile.TarInfo("two/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../one/layer.tar"
        tar.addfile(link)
    buffer.seek(0)
    report = inspect_tar(buffer)
    assert (report.reference, report.disk_bytes, report.wasted_bytes, report.user) == (
        "old:1",
        100,
        50,
        "root",
    )


def test_a_tar_that_lacks_a_layer_is_refused_not_counted_as_nothing() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (
            ("c", b"{}"),
            ("manifest.json", json.dumps([{"Config": "c", "Layers": ["blobs/sha256/gone"]}]).encode()),
        ):
            tar.addfile(sized(name, len(data)), io.BytesIO(data))
    buffer.seek(0)
    with pytest.raises(ImageUnreadable, match="lacks blobs/sha256/gone"):
        inspect_tar(buffer)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_a_tar_that_is_cut_short_is_refused(compress: object) -> None:
    whole = saved(compress(layer({"a": random.Random(1).randbytes(300_000)}))).getvalue()
    with pytest.raises(ImageUnreadable):
        inspect_tar(io.BytesIO(whole[:150_000]), "half.tar")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageUnreadable, match="cannot be opened"):
        inspect_tar(tmp_path / "none.tar")


@pytest.mark.parametrize(
    ("created_by", "instruction"),
    [
        ('/bin/sh -c #(nop)  CMD ["sh"]', 'CMD ["sh"]'),
        ("/bin/sh -c apt-get update", "RUN apt-get update"),
        ("|1 INDEX=https://a/b /bin/sh -c pip install x", "RUN pip install x"),
        ("RUN |2 A=1 B=2 /bin/sh -c pip install x # buildkit", "RUN pip install x"),
        (f"/bin/sh -c #(nop) COPY dir:{'0f' * 32} in /app ", "COPY … /app"),
        ("", "(base image)"),
    ],
)
def test_instructions_read_as_in_the_dockerfile(created_by: str, instruction: str) -> None:
    assert (
        inspect_tar(saved(layer({"a": b"1"}), history=[{"created_by": created_by}])).layers[0].instruction
        == instruction
    )


def test_the_estimate_for_long_layers_is_close_to_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python packages, as they fill real layers, in 16 times smaller blocks and strata: so with four times the error of a real layer."""
    monkeypatch.setattr(gzip_estimate, "STRATA", ((16, 1), (64, 4), (1 << 62, 16)))
    monkeypatch.setattr(gzip_estimate, "BLOCK", 1 << 16)
    packages = sorted(
        path
        for path in Path(pytest.__file__).parents[1].rglob("*")
        if path.suffix in (".py", ".so", ".json", ".js")
    )
    content = bytearray()
    for path in packages:
        content += path.read_bytes()[:2_000_000]
        if len(content) > 60_000_000:
            break
    plain = layer({"data": bytes(content)})
    assert len(plain) > 50_000_000
    assert inspect_tar(saved(plain)).download_bytes == pytest.approx(len(zlib.compress(plain, 6)), rel=0.04)


class Endless(io.RawIOBase):
    """A saved image whose one layer holds a file of the given size, made while it is read."""

    def __init__(self, size: int) -> None:
        self._parts, self._rest = self._made(size), b""

    @staticmethod
    def _made(size: int) -> Iterator[bytes]:
        block = random.Random(3).randbytes(1 << 16) + bytes(15 << 16)
        inner = sized("big", size).tobuf()
        yield sized("blobs/sha256/l", len(inner) + size + 1024).tobuf() + inner
        for _ in range(size // len(block)):
            yield block
        yield bytes(1024)
        for name, data in (
            ("c", b"{}"),
            ("manifest.json", json.dumps([{"Config": "c", "Layers": ["blobs/sha256/l"]}]).encode()),
        ):
            yield sized(name, len(data)).tobuf() + data.ljust(512, b"\0")
        yield bytes(1024)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        self._rest = self._rest or next(self._parts, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def test_memory_does_not_grow_with_the_image() -> None:
    size = 300 << 20
    tracemalloc.start()
    try:
        report = inspect_tar(io.BufferedReader(Endless(size), 1 << 20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.disk_bytes == size
    assert peak < 60 << 20


def test_sizes_are_written_the_same_way_everywhere() -> None:
    assert [mb(0), mb(1_234_567), mb(48_300_000), mb(6_670_000_000)] == [
        "0.0 MB",
        "1.2 MB",
        "48 MB",
        "6,670 MB",
    ]


def test_the_chart_states_what_it_shows() -> None:
    one = layer_stack(inspect_tar(saved(layer({"a": b"x" * 9_000_000}), layer({"b": b"x" * 1_000_000}))))
    assert one.axes[0].get_title(loc="left") == "One layer holds 90% of the 10 MB"
    assert one.axes[0].get_xlim()[0] == 0
    assert [text.get_text() for text in one.axes[0].texts] == ["9.0 MB", "1.0 MB"]
    waste = layer_stack(
        inspect_tar(saved(layer({"a": b"x" * 5_000_000}), layer({".wh.a": b"", "b": b"y" * 5_000_000})))
    )
    assert waste.axes[0].get_title(loc="left") == "50% of the 10 MB ship but are never seen"
    assert waste.axes[0].texts[0].get_text() == "5.0 MB, 5.0 MB of it wasted"
    assert layer_stack(inspect_tar(saved())).axes[0].get_title(loc="left") == "The image holds no file"


@pytest.mark.engine
def test_both_sizes_are_the_same_on_both_image_stores(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    """The engine's own figures for one image disagree between stores; these must not."""
    tag = f"dockerlab-two-stores:{uuid.uuid4().hex[:8]}"
    dockerfile = f"""FROM {tiny_image}
RUN i=0; while test $i -lt 2000; do echo "line $i"; i=$((i+1)); done > /text
RUN dd if=/dev/urandom of=/noise bs=1000 count=300
RUN rm /noise
WORKDIR /a
WORKDIR /b
"""
    client.images.build(
        fileobj=io.BytesIO(dockerfile.encode()),
        tag=tag,
        labels=object_labels.labels(kind="test"),
        rm=True,
        forcerm=True,
    )
    try:
        path = tmp_path / "image.tar"
        with path.open("wb") as file:
            for chunk in client.images.get(tag).save(named=True):
                file.write(chunk)
        first = inspect(tag, client)
        stored = inspect_tar(path)
        other_store = connection.image_store(client.info()) != "containerd"
        shutil.rmtree(disk_cache.folder())  # each store is read in full
        with second_daemon(tmp_path, containerd=other_store) as second:
            assert connection.image_store(second.client.info()) != connection.image_store(client.info())
            with path.open("rb") as file:
                second.client.images.load(file)
            loaded = inspect(tag, second.client)
            # Layers that were loaded lie there as they came; those that were built there are compressed.
            second.take(tiny_image, client)
            second.client.images.build(
                fileobj=io.BytesIO(dockerfile.encode()), tag=f"{tag}-built", rm=True, forcerm=True
            )
            built = inspect(f"{tag}-built", second.client)
    finally:
        client.images.remove(tag, force=True)
    for report in (loaded, built, stored):
        assert report.disk_bytes == pytest.approx(first.disk_bytes, rel=0.01)
        assert report.download_bytes == pytest.approx(first.download_bytes, rel=0.01)
        assert report.wasted_bytes == first.wasted_bytes == 300_000
        assert report.frame().equals(first.frame())
    assert first.disk_bytes > 1_000_000


@pytest.mark.engine
def test_a_name_without_a_tag_means_latest(client: docker.DockerClient, tiny_image: str) -> None:
    """Saving a bare name would save every tag of it."""
    name = f"dockerlab-bare-{uuid.uuid4().hex[:8]}"
    other = io.BytesIO(f"FROM {tiny_image}\nRUN echo other > /other".encode())
    try:
        client.images.build(
            fileobj=other, tag=f"{name}:aaa", labels=object_labels.labels(kind="test"), rm=True, forcerm=True
        )
        client.images.get(tiny_image).tag(name, "latest")
        assert "other" not in inspect(name, client).paths()
        assert "other" in inspect(f"{name}:aaa", client).paths()
    finally:
        for tag in ("aaa", "latest"):
            client.images.remove(f"{name}:{tag}", force=True)


@pytest.mark.engine
def test_the_engines_stream_and_a_saved_file_agree(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.tar"
    with path.open("wb") as file:
        for chunk in client.images.get(tiny_image).save(named=True):
            file.write(chunk)
    live, stored = inspect(tiny_image, client), inspect_tar(path)
    assert "bin/busybox" in live.paths()
    assert (live.disk_bytes, live.download_bytes) == (stored.disk_bytes, stored.download_bytes)
    assert live.disk_bytes > 1_000_000


@pytest.mark.engine
def test_what_was_read_once_is_not_read_again(
    client: docker.DockerClient, tiny_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = inspect(tiny_image, client)
    monkeypatch.setattr(image, "_REMEMBERED", {})
    monkeypatch.setattr(
        client.api, "get_image", lambda *_, **__: pytest.fail("the engine was asked for the image again")
    )
    again = inspect(tiny_image, client)
    assert again == first
    assert again.frame().equals(first.frame())


@pytest.mark.engine
@pytest.mark.parametrize("damage", ["cut", "missing", "unwritable"])
def test_a_damaged_cache_costs_time_and_nothing_else(
    client: docker.DockerClient, tiny_image: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = inspect(tiny_image, client)
    monkeypatch.setattr(image, "_REMEMBERED", {})
    files = sorted(disk_cache.folder().glob("layer-*"))
    if damage == "cut":
        files[0].write_bytes(files[0].read_bytes()[:20])
    elif damage == "missing":
        files[0].unlink()
    else:
        shutil.rmtree(disk_cache.folder())
        disk_cache.folder().write_text("a file in its place")
    assert inspect(tiny_image, client) == first


def test_a_saved_file_is_always_read_in_full(tmp_path: Path) -> None:
    """Nobody vouches for the names in it."""
    assert inspect_tar(saved(layer({"a": b"12345"}))).disk_bytes == 5
    assert inspect_tar(saved(layer({"a": b"1"}))).disk_bytes == 1


def test_the_cache_keeps_a_bounded_number_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "MOST_ENTRIES", 3)
    for number in range(6):
        disk_cache.remember("layer", f"sha256:{number:064x}", {"number": number})
    assert len(list(disk_cache.folder().iterdir())) == 3
    assert disk_cache.recall("layer", f"{5:064x}") == {"number": 5}
    assert disk_cache.recall("layer", f"{0:064x}") is None


def test_the_cache_keeps_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "MOST_ENTRIES", 2)
    for number in range(2):
        disk_cache.remember("layer", f"{number:064x}", {"number": number})
        os.utime(disk_cache._file("layer", f"{number:064x}"), (number, number))
    disk_cache.recall("layer", f"{0:064x}")
    disk_cache.remember("layer", f"{2:064x}", {"number": 2})
    assert [disk_cache.recall("layer", f"{number:064x}") is not None for number in range(3)] == [
        True,
        False,
        True,
    ]


@pytest.mark.engine
def test_an_image_that_is_not_there(client: docker.DockerClient) -> None:
    with pytest.raises(ImageUnreadable, match="no image dockerlab-nothing"):
        inspect("dockerlab-nothing:here", client)
