"""Known vulnerabilities: what a scanner reports, which scanners are here, and how one works: packages against a list of advisories."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from packaging.version import InvalidVersion, Version

from dockerlab import sbom
from dockerlab.errors import CourseError
from dockerlab.site import ROOT

FOLDER = ROOT / "assets" / "security"
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
COLUMNS = ["severity", "package", "installed", "fixed in", "id", "title"]
# How each scanner is asked for its version, and how for the vulnerabilities of an image.
SCANNERS: dict[str, tuple[list[str], list[str]]] = {
    "Docker Scout": (["docker", "scout", "version"], ["docker", "scout", "cves", "--format", "sarif", "{image}"]),
    "Trivy": (["trivy", "--version"], ["trivy", "image", "--quiet", "--format", "json", "{image}"]),
    "Grype": (["grype", "version"], ["grype", "{image}", "--quiet", "--output", "json"]),
}


class BadReport(CourseError):
    """A file is no report of a scanner that the course can read."""


def advisories(file: Path = FOLDER / "advisories.toml") -> list[dict[str, str]]:
    """The advisories that the course ships: id, kind, package, fixed (empty: no fix), severity, title."""
    return list(tomllib.loads(file.read_text(encoding="utf-8"))["advisory"])


def match(packages: pd.DataFrame, known: Sequence[Mapping[str, str]], image: str = "", created: str = "") -> dict[str, Any]:
    """What a scanner does: each package (as `sbom.packages` lists them) against each advisory. A report in Trivy's JSON format. Pure."""
    results: dict[str, list[dict[str, Any]]] = {}
    for row in packages.to_dict("records"):
        for each in known:
            if each["kind"] == row["kind"] and each["package"] == _normal(row["package"]) and _affected(row["version"], each["fixed"]):
                results.setdefault(row["kind"], []).append({
                    "VulnerabilityID": each["id"], "PkgName": row["package"], "InstalledVersion": row["version"], "FixedVersion": each["fixed"],
                    "Status": "fixed" if each["fixed"] else "will_not_fix", "Severity": each["severity"], "Title": each["title"],
                })  # fmt: skip
    targets = {"deb": ("debian", "os-pkgs", "debian"), "python": ("Python", "lang-pkgs", "python-pkg")}
    return {"SchemaVersion": 2, "CreatedAt": created, "ArtifactName": image, "ArtifactType": "container_image", "Results": [
        {"Target": targets[kind][0], "Class": targets[kind][1], "Type": targets[kind][2], "Vulnerabilities": found}
        for kind, found in sorted(results.items())]}  # fmt: skip


def findings(report: Mapping[str, Any] | Path) -> pd.DataFrame:
    """One row a vulnerability of a report of Trivy or Grype in JSON, worst first: COLUMNS. Raises BadReport."""
    if isinstance(report, Path):
        try:
            report = json.loads(report.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadReport(f"{report.name} cannot be read as a report.", f"{error}.", "Write it with `trivy image --format json`.") from error
    if "Results" in report or "SchemaVersion" in report:
        rows = [_trivy(each) for result in report.get("Results") or [] for each in result.get("Vulnerabilities") or []]
    elif "matches" in report:
        rows = [_grype(each) for each in report["matches"]]
    else:
        raise BadReport("This is no report of Trivy or Grype.", fix="Write it with `trivy image --format json` or `grype --output json`.")
    rows.sort(key=lambda row: (SEVERITIES.index(row[0]) if row[0] in SEVERITIES else len(SEVERITIES), row[1].lower(), row[4]))
    return pd.DataFrame(rows, columns=COLUMNS)


def scanners(seconds: float = 15) -> pd.DataFrame:
    """Which scanners are installed here; each is asked for its version, for at most `seconds`."""
    rows = [(name, "installed" if _answers(version, seconds) else "not installed") for name, (version, _) in SCANNERS.items()]
    return pd.DataFrame(rows, columns=["scanner", "here"]).set_index("scanner")


def first_report(image: str, seconds: float = 60) -> tuple[str, pd.DataFrame] | None:
    """The name and the findings of the first scanner here that scans `image` in time, its data fetched; None where none does. Asks the engine."""
    for name, (_, command) in SCANNERS.items():
        if not shutil.which(command[0]):
            continue
        try:
            done = subprocess.run([part.format(image=image) for part in command], capture_output=True, text=True, timeout=seconds, env=sbom.environment())
            return name, findings(json.loads(done.stdout))
        except (subprocess.TimeoutExpired, OSError, ValueError, CourseError):
            continue
    return None


def _answers(command: list[str], seconds: float) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=seconds).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _affected(installed: str, fixed: str) -> bool:
    """Whether a version comes before the one that has the fix; without a fix every version is affected."""
    if not fixed:
        return True
    try:
        return Version(installed) < Version(fixed)
    except InvalidVersion:
        return False


def _trivy(each: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    fixed = each.get("FixedVersion") or "no fix"
    return (str(each["Severity"]), str(each["PkgName"]), str(each["InstalledVersion"]), fixed, str(each["VulnerabilityID"]), str(each.get("Title", "")))


def _grype(each: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    found, package = each["vulnerability"], each["artifact"]
    fixed = ", ".join((found.get("fix") or {}).get("versions") or []) or "no fix"
    severity, title = str(found.get("severity", "")).upper(), str(found.get("description", ""))[:90]
    return severity, str(package["name"]), str(package["version"]), fixed, str(found["id"]), title
