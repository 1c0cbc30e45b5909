"""Packages, advisories, reports, rights and leaks: read and matched without an engine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pandas as pd
import pytest

from dockerlab.containers import privileges
from dockerlab.images import secret_scan
from dockerlab.lessons.lesson09_security import sbom, vulnerabilities

STATUS = (
    "Name:\tcat\nUid:\t10001\t10001\t10001\t10001\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n"
)


def _packages(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame([(name, version, kind, "MIT") for name, version, kind in rows], columns=sbom.COLUMNS)


def test_syfts_document_becomes_sorted_rows_each_once() -> None:
    entry = {
        "name": "pillow",
        "version": "9.5.0",
        "type": "python",
        "licenses": [{"value": "HPND"}, {"value": "MIT"}],
    }
    assert sbom.rows({"artifacts": [entry, entry, {"name": "apt", "type": "deb"}]}) == [
        ["apt", "", "deb", ""],
        ["pillow", "9.5.0", "python", "HPND, MIT"],
    ]


def test_a_version_matches_only_below_its_fix() -> None:
    known = [
        {
            "id": "CVE-1",
            "kind": "python",
            "package": "python-multipart",
            "fixed": "0.0.18",
            "severity": "HIGH",
            "title": "t",
        }
    ]
    name = "python-multipart"
    found = vulnerabilities.findings(
        vulnerabilities.match(
            _packages(
                ("python_multipart", "0.0.9", "python"), (name, "0.0.18", "python"), (name, "0.0.9", "deb")
            ),
            known,
        )
    )
    assert list(found["installed"]) == ["0.0.9"] and list(found["fixed in"]) == ["0.0.18"]


def test_findings_stand_worst_first_and_say_where_no_fix_is() -> None:
    found = vulnerabilities.findings(
        vulnerabilities.match(
            _packages(("zlib1g", "1:1.2.13", "deb"), ("starlette", "0.27.0", "python")),
            vulnerabilities.advisories(),
        )
    )
    assert list(found["severity"]) == ["CRITICAL", "HIGH", "MEDIUM"]
    assert found.iloc[0]["fixed in"] == "no fix"


def test_the_example_report_is_what_the_advisories_say_about_its_packages() -> None:
    stated = json.loads((vulnerabilities.FOLDER / "example-report.json").read_text())
    old = _packages(("pillow", "9.5.0", "python"), ("python-multipart", "0.0.6", "python"), ("starlette", "0.27.0", "python"), ("h11", "0.14.0", "python"),
                    ("zlib1g", "1:1.2.13.dfsg-1", "deb"))  # fmt: skip
    pd.testing.assert_frame_equal(
        vulnerabilities.findings(stated),
        vulnerabilities.findings(vulnerabilities.match(old, vulnerabilities.advisories())),
    )
    assert "EXAMPLE" in stated["ArtifactName"]


def test_reports_of_grype_are_read_and_others_refused(tmp_path) -> None:
    grype = {
        "matches": [
            {
                "vulnerability": {"id": "CVE-2", "severity": "High", "fix": {"versions": ["2.0"]}},
                "artifact": {"name": "a", "version": "1.0"},
            }
        ]
    }
    assert list(vulnerabilities.findings(grype).iloc[0])[:5] == ["HIGH", "a", "1.0", "2.0", "CVE-2"]
    with pytest.raises(vulnerabilities.BadReport):
        vulnerabilities.findings({"something": "else"})
    with pytest.raises(vulnerabilities.BadReport):
        vulnerabilities.findings(tmp_path / "missing.json")


def test_a_scanner_that_is_here_is_run_and_read(tmp_path, monkeypatch) -> None:
    fake = tmp_path / "trivy"
    fake.write_text("#!/bin/sh\ncat " + str(vulnerabilities.FOLDER / "example-report.json") + "\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(vulnerabilities, "SCANNERS", {"Trivy": vulnerabilities.SCANNERS["Trivy"]})
    name, found = vulnerabilities.first_report("any")
    assert name == "Trivy" and len(found) == 10
    assert vulnerabilities.scanners(5).loc["Trivy", "here"] == "installed"


def test_one_that_cannot_fetch_its_data_counts_as_none(tmp_path, monkeypatch) -> None:
    fake = tmp_path / "grype"
    fake.write_text("#!/bin/sh\necho no database >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(vulnerabilities, "SCANNERS", {"Grype": vulnerabilities.SCANNERS["Grype"]})
    assert vulnerabilities.first_report("any") is None


def test_rights_are_read_from_a_status() -> None:
    found = privileges.read(STATUS)
    assert (found.user, len(found.capabilities), found.no_new_privileges, found.seccomp) == (
        10001,
        14,
        True,
        "filter",
    )
    assert "NET_RAW" in found.capabilities and "SYS_ADMIN" not in found.capabilities
    assert privileges.read(STATUS.replace("00000000a80425fb", "0")).capabilities == ()


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_a_leak_is_found_in_history_configuration_and_deleted_files() -> None:
    config = {"history": [{"created_by": "ARG TOKEN=abc-4711"}], "config": {"Env": ["TOKEN=abc-4711"]}}
    lower, upper = _tar({"app/.env": b"TOKEN=abc-4711"}), _tar({"app/.wh..env": b""})
    manifest = [{"Config": "config.json", "Layers": ["one.tar", "two.tar"]}]
    documents = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    saved = _tar({**documents, "one.tar": gzip.compress(lower), "two.tar": upper})
    assert secret_scan.find_in_tar(io.BytesIO(saved), "abc-4711") == [
        "history",
        "configuration",
        "layer 0: /app/.env",
    ]
    assert secret_scan.find_in_tar(io.BytesIO(saved), "another") == []
