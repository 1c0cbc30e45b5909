"""Known vulnerabilities: what a scanner reports, which scanners are here, and how one works: packages against a list of advisories."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.lessons.lesson09_security import sbom

FOLDER = ROOT / "assets" / "security"
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
COLUMNS = ["severity", "package", "installed", "fixed in", "id", "title"]
# How each scanner is asked for its version, and how for the vulnerabilities of an image.
SCANNERS: dict[str, tuple[list[str], list[str]]] = {
    "Docker Scout": (
        ["docker", "scout", "version"],
        ["docker", "scout", "cves", "--format", "sarif", "{image}"],
    ),
    "Trivy": (["trivy", "--version"], ["trivy", "image", "--quiet", "--format", "json", "{image}"]),
    "Grype": (["grype", "version"], ["grype", "{image}", "--quiet", "--output", "json"]),
}


class BadReport(CourseError):
    """A file is no report of a scanner that the course can read."""


def advisories(file: Path = FOLDER / "advisories.toml") -> list[dict[str, str]]:
    """The advisories that the course ships: id, kind, package, fixed (empty: no fix), severity, title."""
    return list(tomllib.loads(file.read_text(encoding="utf-8"))["advisory"])


def match(
    packages: pd.DataFrame, known: Sequence[Mapping[str, str]], image: str = "", created: str = ""
) -> dict[str, Any]:
    """What a scanner does: each package (as `sbom.packages` lists them) against each advisory. A report in Trivy's JSON format. Pure.

    Names and versions are compared by the rules of their kind, `deb` or `python`. Raises BadReport for an advisory of another kind.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    wanted: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for each in known:
        wanted.setdefault((each["kind"], _normal(each["kind"], each["package"])), []).append(each)
    for row in packages.to_dict("records"):
        for each in wanted.get((row["kind"], _normal(row["kind"], row["package"])), ()):
            if _affected(row["kind"], row["version"], each.get("fixed") or ""):
                results.setdefault(row["kind"], []).append({
                    "VulnerabilityID": each["id"], "PkgName": row["package"], "InstalledVersion": row["version"], "FixedVersion": each.get("fixed") or "",
                    "Status": "fixed" if each.get("fixed") else "will_not_fix", "Severity": each["severity"], "Title": each["title"],
                })  # fmt: skip
    targets = {"deb": ("debian", "os-pkgs", "debian"), "python": ("Python", "lang-pkgs", "python-pkg")}
    return {"SchemaVersion": 2, "CreatedAt": created, "ArtifactName": image, "ArtifactType": "container_image", "Results": [
        {"Target": targets[kind][0], "Class": targets[kind][1], "Type": targets[kind][2], "Vulnerabilities": found}
        for kind, found in sorted(results.items())]}  # fmt: skip


def findings(report: Mapping[str, Any] | Path) -> pd.DataFrame:
    """One row a vulnerability of a report of Trivy or Grype in JSON, worst first: COLUMNS. Raises BadReport."""
    if isinstance(report, Path):
        file = report
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadReport(
                f"{file.name} cannot be read as a report.",
                f"{error}.",
                "Write it with `trivy image --format json`.",
            ) from error
    if not isinstance(report, Mapping):
        report = {}
    if "Results" in report or "SchemaVersion" in report:
        rows = [
            _trivy(each or {})
            for result in report.get("Results") or []
            for each in (result or {}).get("Vulnerabilities") or []
        ]
    elif "matches" in report:
        rows = [_grype(each or {}) for each in report["matches"] or []]
    else:
        raise BadReport(
            "This is no report of Trivy or Grype.",
            fix="Write it with `trivy image --format json` or `grype --output json`.",
        )
    rows.sort(
        key=lambda row: (
            SEVERITIES.index(row[0]) if row[0] in SEVERITIES else len(SEVERITIES),
            row[1].lower(),
            row[4],
        )
    )
    return pd.DataFrame(rows, columns=COLUMNS)


def scanners(seconds: float = 15) -> pd.DataFrame:
    """Which scanners are installed here; each is asked for its version, for at most `seconds`."""
    rows = [
        (name, "installed" if _answers(version, seconds) else "not installed")
        for name, (version, _) in SCANNERS.items()
    ]
    return pd.DataFrame(rows, columns=["scanner", "here"]).set_index("scanner")


def first_report(image: str, seconds: float = 60) -> tuple[str, pd.DataFrame] | None:
    """The name and the findings of the first scanner here that scans `image` in time, its data fetched; None where none does. Asks the engine."""
    for name, (_, command) in SCANNERS.items():
        if not shutil.which(command[0]):
            continue
        try:
            done = subprocess.run(
                [part.format(image=image) for part in command],
                capture_output=True,
                text=True,
                timeout=seconds,
                env=sbom.environment(),
            )
            return name, findings(json.loads(done.stdout))
        except (subprocess.TimeoutExpired, OSError, ValueError, CourseError):
            continue
    return None


def _answers(command: list[str], seconds: float) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=seconds).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _normal(kind: str, name: str) -> str:
    """A package's name as it is compared: a Python project's by PEP 503, any other as it is."""
    return canonicalize_name(name) if kind == "python" else name


def _affected(kind: str, installed: str, fixed: str) -> bool:
    """Whether a version comes before the one that has the fix; without a fix every version is affected."""
    if not fixed:
        return True
    if kind == "deb":
        return _debian(installed) < _debian(fixed)
    if kind != "python":
        raise BadReport(
            f"Versions of the kind {kind!r} cannot be compared.",
            "The course knows the order of Debian's and of Python's.",
            "Use a scanner for the others.",
        )
    try:
        return Version(installed) < Version(fixed)
    except InvalidVersion:
        return False


def _debian(version: str) -> tuple[int, list[Any], list[Any]]:
    """A key that sorts as dpkg does (deb-version(7)): epoch, upstream version, revision."""
    epoch, _, rest = version.rpartition(":") if ":" in version else ("0", "", version)
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch) if epoch.isdigit() else 0, _parts(upstream), _parts(revision)


def _parts(text: str) -> list[Any]:
    """Letters and numbers by turns: `~` before the end, the end before letters, letters before all else; numbers by their value."""

    def place(letter: str) -> int:
        return -1 if letter == "~" else ord(letter) if letter.isalpha() else ord(letter) + 256

    end = ((0,), 0)
    parts = [
        ((*map(place, letters), 0), int(digits or 0))
        for letters, digits in re.findall(r"([^0-9]*)([0-9]*)", text)
    ]
    while parts and parts[-1] == end:
        parts.pop()
    return [*parts, end, end]  # two, since a version may begin with what is equal to an end


def _text(entry: Mapping[str, Any], field: str, absent: str = "") -> str:
    """A field of a report as text; reports leave fields out, or write null."""
    value = entry.get(field)
    return absent if value is None else str(value)


def _trivy(each: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    return (
        _text(each, "Severity").upper() or "UNKNOWN",
        _text(each, "PkgName"),
        _text(each, "InstalledVersion"),
        _text(each, "FixedVersion") or "no fix",
        _text(each, "VulnerabilityID"),
        _text(each, "Title"),
    )


def _grype(each: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    found, package = each.get("vulnerability") or {}, each.get("artifact") or {}
    fixed = ", ".join((found.get("fix") or {}).get("versions") or []) or "no fix"
    return (
        _text(found, "severity").upper() or "UNKNOWN",
        _text(package, "name"),
        _text(package, "version"),
        fixed,
        _text(found, "id"),
        _text(found, "description")[:90],
    )
