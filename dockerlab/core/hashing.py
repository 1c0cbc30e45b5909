"""One hash for a set of files: it changes with any name and any byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath


def digest(sources: Mapping[PurePath, bytes]) -> str:
    """SHA-256 of the text of a lesson, or of all files of a lab (each with its name and length)."""
    if len(sources) == 1:
        return hashlib.sha256(*sources.values()).hexdigest()
    total = hashlib.sha256()
    for path, content in sorted(sources.items()):
        total.update(f"{path.as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def of_files(paths: Iterable[Path], root: Path) -> str:
    """The digest of those that are files, named by their places below `root`; byte code does not count."""
    return digest(
        {
            path.relative_to(root): path.read_bytes()
            for path in paths
            if path.is_file() and "__pycache__" not in path.parts
        }
    )
