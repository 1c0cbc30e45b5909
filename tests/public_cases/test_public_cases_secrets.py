"""Cases of secrets in images from the public record, by number, and their next of kin."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from dockerlab.images import secret_scan

CASES = (Path(__file__).parents[1] / "data") / "cases" / "tars"
TOKEN = "tok-8c1f7e"
RIGHT = {
    "L01_quote_configuration": ('qu"ote-secret', ["configuration"]),
    "L01_quote_history": ('qu"ote-secret', ["history"]),
    "L01_two_lines_configuration": ("two\nlines", ["configuration"]),
    "L01_two_lines_history": ("two\nlines", ["history"]),
    "L02_attribute": (TOKEN, ["layer 0: /bin/x"]),
    "L02_file_name": (TOKEN, ["layer 0: /root/.cache/tok-8c1f7e/index"]),
    "L02_link_target": (TOKEN, ["layer 0: /cur"]),
    "L04_provenance": (TOKEN, ["attestation"]),
    "L05_deleted_later": (TOKEN, ["layer 0: /etc/token"]),
    "L05_history_comment": (TOKEN, ["history"]),
    "L05_over_a_block_border": (TOKEN, ["layer 0: /big"]),
    "T04_two_images": (TOKEN, ["second:1: layer 0: /etc/token"]),
}


@pytest.mark.parametrize("case", RIGHT)
def test_where_the_secret_is(case: str) -> None:
    packed = CASES / f"{case}.tar.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (CASES / f"{case}.tar").read_bytes()
    secret, places = RIGHT[case]
    assert secret_scan.find_in_tar(io.BytesIO(data), secret) == places
    assert secret_scan.find_in_tar(io.BytesIO(data), secret + "?") == []


def test_every_file_is_tried() -> None:
    assert {path.name.split(".")[0] for path in CASES.glob("L*")} == {
        case for case in RIGHT if case.startswith("L")
    }


def _tar(members: dict[str, bytes], headers: dict[str, dict[str, str]] | None = None) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = len(content), (headers or {}).get(name, {})
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _image(
    files: dict[str, bytes] | None = None, config: dict[str, object] | None = None, **beside: bytes
) -> io.BytesIO:
    manifest = json.dumps([{"Config": "c", "RepoTags": ["a:1"], "Layers": ["l"]}]).encode()
    return io.BytesIO(
        _tar(
            {
                "l": gzip.compress(_tar(files or {})),
                "c": json.dumps(config or {}).encode(),
                **beside,
                "manifest.json": manifest,
            }
        )
    )


@pytest.mark.parametrize(
    "config",
    [
        {"config": {"Labels": {"a": "tok\u00e9-1"}}},
        {"config": {"Labels": {"tok\u00e9-1": ""}}},
        {"config": {"Cmd": ["sh", "-c", "echo tok\u00e9-1"]}},
        {"author": "tok\u00e9-1"},
        {"container_config": {"Env": ["A=tok\u00e9-1"]}},
        {"comment": base64.b64encode("x tok\u00e9-1".encode()).decode()},
    ],
)
def test_every_field_of_the_configuration_is_searched(config: dict[str, object]) -> None:
    assert secret_scan.find_in_tar(_image(config=config), "tok\u00e9-1") == ["configuration"]


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.encode(),
        lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: json.dumps({"a": text}).encode(),
        lambda text: gzip.compress(text.encode()),
        lambda text: zstandard.compress(text.encode()),
        lambda text: bz2.compress(text.encode()),
        lambda text: lzma.compress(text.encode()),
        lambda text: gzip.compress(_tar({"inner": text.encode()})),
        lambda text: b"\x1f\x8b not packed: " + text.encode(),
        lambda text: gzip.compress(bytes(3_000_000))[:-20] + text.encode(),
        lambda text: b"x" * ((1 << 20) - 3) + text.encode(),
    ],
    ids=[
        "utf-8",
        "utf-16-le",
        "utf-16-be",
        "json",
        "gzip",
        "zstd",
        "bzip2",
        "xz",
        "tar in gzip",
        "no gzip",
        "behind a cut gzip",
        "over a border",
    ],
)
@pytest.mark.parametrize("secret", ["tok-8c1f7e", 'a "quoted"\nkey\n', "Schlüssel"])
def test_L06_a_file_in_many_forms(written: Callable[[str], bytes], secret: str) -> None:
    assert secret_scan.find_in_tar(
        _image({"srv/file": written(secret), "srv/other": b"nothing"}), secret
    ) == ["layer 0: /srv/file"]


def test_the_dockerfile_in_a_provenance_is_read_though_it_is_base64() -> None:
    statement = {
        "predicateType": "https://slsa.dev/provenance/v1",
        "source": {"data": base64.b64encode(b"FROM x\nENV T=tok-8c1f7e\n").decode()},
    }
    assert secret_scan.find_in_tar(_image(p=json.dumps(statement).encode()), TOKEN) == ["attestation"]


def test_what_no_manifest_names_is_searched_too() -> None:
    index = json.dumps({"manifests": [{"annotations": {"note": TOKEN}}]}).encode()
    assert secret_scan.find_in_tar(
        _image(**{"index.json": index, "lines": b'{"a": 1}\n{"b": "tok-8c1f7e"}\n', "raw": b"\0tok-8c1f7e"}),
        TOKEN,
    ) == ["index.json", "lines", "raw"]


def test_an_attribute_that_is_no_text() -> None:
    packed = _tar({"f": b""}, {"f": {"SCHILY.xattr.user.key": "tok-8c1f7e"}})
    manifest = json.dumps([{"Config": "c", "Layers": ["l"]}]).encode()
    assert secret_scan.find_in_tar(
        io.BytesIO(_tar({"l": packed, "c": b"{}", "manifest.json": manifest})), TOKEN
    ) == ["layer 0: /f"]


def test_layers_below_are_passed_over_and_an_empty_secret_is_refused() -> None:
    assert secret_scan.find_in_tar(_image({"a": TOKEN.encode()}), TOKEN, first=1) == []
    with pytest.raises(ValueError, match="empty"):
        secret_scan.find_in_tar(_image(), "")
