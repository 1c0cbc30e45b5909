"""The build context: which files go, and the tar that carries them."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from dockerlab.images.build_errors import BuildFailed, ContextTooLarge
from dockerlab.images.dockerfile import sent
from dockerlab.images.ignore_rules import BadPattern, IgnoreRules

MAX_CONTEXT_BYTES = 500_000_000


def files_sent(folder: Path, dockerfile: str) -> list[str]:
    """The paths of the context, by the rules of .dockerignore. Raises BuildFailed for a rule or a folder that cannot be read."""
    try:
        return list(IgnoreRules.of(folder, dockerfile).walk(folder))
    except BadPattern as error:
        raise BuildFailed(error.what, error.why, error.fix) from error
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> BuildFailed:
    return BuildFailed(
        f"{error.filename or 'A file of the context'} cannot be read.",
        f"{error.strerror or error}.",
        "Give yourself the right to read it, or list it in .dockerignore.",
    )


def packed(folder: Path, names: list[str], dockerfile: str, backend: str) -> IO[bytes]:
    """The context as a tar in a temporary file, the Dockerfile first and all entries owned by root. Raises BuildFailed.

    The Dockerfile goes along even where .dockerignore lists it (from there a `COPY . .` takes it, where there is no buildx to build by).
    BuildKit needs no .dockerignore in a tar; the classic builder reads it there, and takes away itself and the Dockerfile where listed.
    GNU format, because the engine decides from the first kilobyte whether a body is a tar, and a PAX header hides that.
    """
    needed = [
        dockerfile,
        *([".dockerignore"] if backend == "classic" and (folder / ".dockerignore").is_file() else []),
    ]
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name in dict.fromkeys([*needed, *names]):
                with contextlib.suppress(FileNotFoundError):  # removed while the context was read
                    _add(archive, folder / name, name, sent(folder / name) if name == dockerfile else None)
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise _unreadable(error) from error
        raise
    file.seek(0)
    return file


def _add(archive: tarfile.TarFile, path: Path, name: str, content: bytes | None = None) -> None:
    """Add a file, with `content` in place of its own."""
    entry = archive.gettarinfo(path, arcname=name)
    if entry is None:  # a socket: Docker sends an empty file in its place
        entry = tarfile.TarInfo(name)
        entry.mode, entry.mtime = stat.S_IMODE(path.lstat().st_mode), path.lstat().st_mtime
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = int(entry.mtime)
    if entry.isreg() and entry.size:
        entry.size = entry.size if content is None else len(content)
        with path.open("rb") if content is None else io.BytesIO(content) as source:
            archive.addfile(entry, source)
    else:
        archive.addfile(entry)


def check_size(folder: Path, names: list[str], limit: int) -> int:
    """The bytes that will be sent. Raises ContextTooLarge above `limit`, naming what weighs most."""
    sizes = {
        name: found.st_size
        for name in names
        if (found := _status(folder / name)) and stat.S_ISREG(found.st_mode)
    }
    total = sum(sizes.values())
    if total > limit:
        weights: dict[str, int] = {}
        for name, size in sizes.items():  # a folder of many small files weighs as one
            top, *below = Path(name).parts
            weights[f"{top}/" if below else top] = weights.get(f"{top}/" if below else top, 0) + size
        largest = sorted(weights, key=lambda name: -weights[name])[:3]
        named = ", ".join(f"{name} ({weights[name] / 1e6:.0f} MB)" for name in largest)
        raise ContextTooLarge(
            f"The build context holds {total / 1e6:,.0f} MB.",
            f"The largest: {named}.",
            "List what the build does not need in .dockerignore, or raise `max_context_bytes`.",
        )
    return total


def _status(path: Path) -> os.stat_result | None:
    with contextlib.suppress(FileNotFoundError):
        return path.lstat()
    return None
