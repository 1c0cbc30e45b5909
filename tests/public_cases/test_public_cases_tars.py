"""Cases of saved images from the public record, by number; data/cases/tars holds images as `docker save` writes them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from dockerlab.images import image, secret_scan
from dockerlab.images.image import ImageUnreadable, inspect_tar

CASES = (Path(__file__).parents[1] / "data") / "cases" / "tars"
TWO = ["app/a.txt", "app/b.txt"]

# What a container sees, bytes of all files of all layers, bytes that ship unseen.
RIGHT = {
    "T01_v7": ([*TWO, "old/file.txt"], 300, 0),
    "T02_skippable_first": (TWO, 200, 0),
    "T02a_frames": (TWO, 200, 0),
    "T02a_zstd": (TWO, 200, 0),
    "T03_gzip_members": (TWO, 200, 0),
    "T03_gzip_zeros_behind": (TWO, 200, 0),
    "T05_config_null": (TWO, 200, 0),
    "T05c_created_by_null": (TWO, 200, 0),
    "T06_no_layers": ([], 0, 0),
    "T09_opaque": (["app/c.txt"], 300, 200),
    "T10_file_then_whiteout": (TWO, 250, 100),
    "T10_folder": (["app/n.txt"], 300, 200),
    "T10_whiteout_then_file": (TWO, 250, 100),
    "T11_hard_link": (["bin/alias", "bin/tool"], 1000, 0),
    "T11b_hard_link_one_deleted": (["bin/alias"], 1000, 0),
    "T12_devices": (["dev/null", "pipe", "x"], 100, 0),
    "T12_file_through_link": (["app", "srv/y"], 200, 100),
    "T12_folder_becomes_link": (["app", "srv/x"], 300, 200),
    "T12_link_loop": (["a", "b", "dir/self"], 0, 0),
    "T14_base256": (["big.bin"], 1000, 0),
    "T14_pax_global": (["x"], 3, 0),
    "T14_sparse_gnu": (["sparse"], 1_048_579, 0),
    "T14_sparse_pax": (["sparse"], 1_048_579, 0),
    "T15_four_spellings": (["x.txt"], 412, 405),
    "T15_twice": (["x.txt"], 300, 0),
    "T17_empty_gzip": (TWO, 200, 0),
    "T17_empty_layers": (TWO, 200, 0),
    "T20_gzip_beside": (TWO, 200, 0),
    "T20_ini_beside": (TWO, 200, 0),
    "T20_json_lines_beside": (TWO, 200, 0),
    "T20_latin1_beside": (TWO, 200, 0),
    "T28_crane": (["x"], 3, 0),
    "T28_podman": (TWO, 200, 0),
}
DAMAGED = ["T18_cut_in_a_header", "T23_empty_file", "T23_gzip_layer_cut", "T23_tar_cut", "T23_zeros_only"]


@pytest.mark.parametrize("case", RIGHT)
def test_what_an_image_holds(case: str) -> None:
    report = inspect_tar(CASES / f"{case}.tar")
    assert (report.paths(), report.disk_bytes, report.wasted_bytes) == RIGHT[case]
    assert report.user in ("root", "app") and len(report.frame()) == len(report.layers)


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_an_error_never_a_shorter_answer(case: str) -> None:
    with pytest.raises(ImageUnreadable):
        inspect_tar(CASES / f"{case}.tar")
    with pytest.raises(ImageUnreadable), (CASES / f"{case}.tar").open("rb") as file:
        secret_scan.find_in_tar(file, "tok-8c1f7e")


def test_every_file_is_tried() -> None:
    tried = {*RIGHT, *DAMAGED, "T04_two_images"}
    assert {path.stem for path in CASES.glob("T*.tar")} == tried


def test_T04_of_several_images_one_is_chosen_by_its_name() -> None:
    with pytest.raises(ImageUnreadable, match="2 images: demo:1, second:1"):
        inspect_tar(CASES / "T04_two_images.tar")
    assert inspect_tar(CASES / "T04_two_images.tar", "second:1").paths() == ["etc/token"]
    assert inspect_tar(CASES / "T04_two_images.tar", "demo:1").paths() != ["etc/token"]


def test_T05c_a_layer_without_a_word_has_a_text() -> None:
    assert inspect_tar(CASES / "T05c_created_by_null.tar").layers[0].instruction == "(base image)"


# Next of kin, made here.


def _tar(
    members: dict[str, bytes], links: dict[str, str] | None = None, hard: dict[str, str] | None = None
) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for kind, each in ((tarfile.SYMTYPE, links), (tarfile.LNKTYPE, hard)):
            for name, target in (each or {}).items():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = kind, target
                archive.addfile(entry)
    return packed.getvalue()


def _saved(*layers: bytes, config: object = None, **more: bytes) -> io.BytesIO:
    names = [f"l{number}" for number in range(len(layers))]
    manifest = [{"Config": "c", "RepoTags": None, "Layers": names}]
    settings = {"config": {}, "history": None, "rootfs": None} if config is None else config
    documents = {"c": json.dumps(settings).encode(), **more, "manifest.json": json.dumps(manifest).encode()}
    return io.BytesIO(_tar(dict(zip(names, layers, strict=True)) | documents))


LAYER = _tar({"a": b"x" * 600, "b": b"y" * 600})


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, zstandard.compress, bz2.compress, lzma.compress],
    ids=["plain", "gzip", "zstd", "bzip2", "xz"],
)
def test_a_layer_cut_anywhere_is_refused(pack) -> None:
    """Whatever is missing of the files, wherever the cut is; what is cut off behind the last file may go unnoticed."""
    whole = pack(LAYER)
    assert inspect_tar(_saved(whole)).paths() == ["a", "b"]
    for cut in range(1, 3000 if pack is bytes else len(whole) - 12, 37 if pack is bytes else 7):
        if pack is bytes and cut in (1536, 3072):
            continue
        with pytest.raises(ImageUnreadable):
            inspect_tar(_saved(whole[:cut]))


def test_garbage_between_members_is_damage_and_behind_the_end_is_not() -> None:
    with pytest.raises(ImageUnreadable):
        inspect_tar(_saved(LAYER[:1536] + b"garbage!" * 64 + LAYER[1536:]))
    with pytest.raises(ImageUnreadable):
        inspect_tar(_saved(LAYER[:3072] + bytes(512) + LAYER[:1536]))  # one block of zeros ends nothing
    assert inspect_tar(_saved(LAYER + b"garbage!" * 64)).paths() == ["a", "b"]


def test_a_layer_in_an_unknown_form_is_told() -> None:
    with pytest.raises(ImageUnreadable, match="lacks l0"):
        inspect_tar(_saved(b"LZ4?" * 400))


@pytest.mark.parametrize(
    "manifest", [b"null", b"[]", b"{}", b"[null]", b"no json", b'[{"Config": null}]', b'[{"Layers": ["x"]}]']
)
def test_an_odd_manifest_is_a_sentence(manifest: bytes) -> None:
    with pytest.raises(ImageUnreadable):
        inspect_tar(io.BytesIO(_tar({"c": b"{}", "manifest.json": manifest})))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"config": None, "architecture": None},
        {"history": [None]},
        {"history": [{}], "config": {"User": None}},
    ],
)
def test_nulls_and_missing_keys_are_taken_as_nothing(config: object) -> None:
    report = inspect_tar(_saved(LAYER, config=config))
    assert (report.user, report.architecture, report.paths()) == ("root", "", ["a", "b"])


def test_T22_a_link_to_a_link_leads_to_the_layer_and_a_circle_nowhere() -> None:
    manifest = json.dumps([{"Config": "c", "Layers": ["1/layer.tar", "3/layer.tar"]}]).encode()
    members = {"1/layer.tar": LAYER, "c": b"{}", "manifest.json": manifest}
    links = {"2/layer.tar": "../1/layer.tar", "3/layer.tar": "../2/layer.tar"}
    assert inspect_tar(io.BytesIO(_tar(members, links))).disk_bytes == 2400
    with pytest.raises(ImageUnreadable, match="lacks 3/layer.tar"):
        inspect_tar(
            io.BytesIO(_tar(members, {"2/layer.tar": "../3/layer.tar", "3/layer.tar": "../2/layer.tar"}))
        )


@pytest.mark.parametrize(
    ("upper", "wasted"),
    [
        ({".wh.one": b""}, 0),
        ({"one": b"z" * 10}, 0),
        ({".wh.two": b""}, 0),
        ({".wh.one": b"", ".wh.two": b""}, 0),
        ({".wh.one": b"", ".wh.two": b"", ".wh.three": b""}, 1000),
        ({".wh..wh..opq": b""}, 1000),
    ],
)
def test_T11b_a_file_of_three_names_is_wasted_when_the_last_goes(
    upper: dict[str, bytes], wasted: int
) -> None:
    lower = _tar({"one": b"x" * 1000}, hard={"two": "one", "three": "two"})
    assert inspect_tar(_saved(lower, _tar(upper))).wasted_bytes == wasted


def test_one_read_of_a_large_image_keeps_little(tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    path.write_bytes(_saved(_tar({"zeros": bytes(60_000_000)})).getvalue())
    tracemalloc.start()
    with path.open("rb") as file:
        assert secret_scan.find_in_tar(file, "tok-8c1f7e") == []
    image.inspect_tar(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 45_000_000
