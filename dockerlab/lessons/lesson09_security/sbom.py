"""The software bill of materials of an image: which packages syft recognises in it, as a table."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import pandas as pd
from docker.errors import ImageNotFound

from dockerlab.core import disk_cache, programs
from dockerlab.core.errors import CourseError
from dockerlab.engine import endpoint

COLUMNS = ["package", "version", "kind", "licences"]
SECONDS = 300


class NoSbom(CourseError):
    """The packages of an image could not be listed."""


def syft() -> str:
    """The path of the `syft` that came with the course's environment. Raises ProgramMissing where it is not installed."""
    return programs.tool("syft")


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for programs that look for the engine themselves: the same engine as the course's, and no question about updates."""
    return endpoint.environment(environ) | {"SYFT_CHECK_FOR_APP_UPDATE": "false"}


def packages(image: str, client: docker.DockerClient) -> pd.DataFrame:
    """One row a package that syft finds: COLUMNS. What was read is remembered by the image's layers. Asks the engine. Raises NoSbom."""
    try:
        layers = (client.images.get(image).attrs.get("RootFS") or {}).get("Layers") or []
    except ImageNotFound as error:
        raise NoSbom(f"There is no image {image} on the engine.", fix="Build it first.") from error
    key = hashlib.sha256("\n".join(layers).encode()).hexdigest()
    known = disk_cache.recall("sbom", key)
    if known is None:
        known = {"rows": rows(_scan(image))}
        disk_cache.remember("sbom", key, known)
    return pd.DataFrame(known["rows"], columns=COLUMNS)


def several(images: Mapping[str, str], client: docker.DockerClient) -> dict[str, pd.DataFrame]:
    """`packages` of several images, name -> tag, side by side. Asks the engine."""
    with ThreadPoolExecutor(len(images) or 1) as pool:
        return dict(zip(images, pool.map(lambda tag: packages(tag, client), images.values()), strict=True))


def rows(document: Mapping[str, Any]) -> list[list[str]]:
    """Package, version, kind and licences from syft's own JSON, sorted, each package once. Pure."""
    found = {
        (*(str(each.get(name) or "") for name in ("name", "version", "type")), _licences(each))
        for each in document.get("artifacts") or []
    }
    return [list(row) for row in sorted(found)]


def _licences(artifact: Mapping[str, Any]) -> str:
    said = {
        one if isinstance(one, str) else str((one or {}).get("value") or "")
        for one in artifact.get("licenses") or []
    }
    return ", ".join(sorted(said))


def _scan(image: str) -> dict[str, Any]:
    command = [syft(), "scan", f"docker:{image}", "--quiet", "--output", "syft-json"]
    said = f"it took longer than {SECONDS} s"
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, env=environment())
        said = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        found: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise NoSbom(
            f"syft did not list the packages of {image}.",
            f"It said: {said}.",
            "Run `syft scan docker:IMAGE` in a terminal.",
        ) from error
    return found
