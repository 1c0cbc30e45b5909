"""A learner's folder as a check may take it: a bounded copy of what a build needs, and what has to be as it was handed out.

Such a folder holds anything: data sets, environments, links that lead nowhere or in circles, pipes, sockets, files of other users.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from dockerlab.core.errors import CourseError
from dockerlab.course import workspace
from dockerlab.course.authoring.regions import SKIPPED_PARTS
from dockerlab.images import context_contents
from dockerlab.images.build_context import MAX_CONTEXT_BYTES
from dockerlab.images.build_errors import ContextTooLarge

LARGEST_ASIDE, ASIDE = 10_000_000, 50_000_000  # bytes, of one file that no build takes in and of all of them


class Unreadable(CourseError):
    """A file that the build would send cannot be read."""


def duplicate(folder: Path, target: Path, also: Sequence[str] = ()) -> Path:
    """Copy to `target` what a build of `folder` would send, with Dockerfile and .dockerignore; returns `target`.

    `also` are patterns (`*` matches across folders) of files that come along although no build takes them in; of these, large ones
    stay behind. Links are copied as links; pipes, sockets, devices and caches are left out. Nothing is copied before its size is known.
    Raises ContextTooLarge, Unreadable.
    """
    names = _chosen(folder, ("Dockerfile*", "*.dockerignore", *also))
    target.mkdir(parents=True, exist_ok=True)
    for path in entries(folder):
        copy, name = target / path.relative_to(folder), path.relative_to(folder).as_posix()
        try:
            if path.is_symlink():
                copy.symlink_to(path.readlink())
            elif path.is_dir():
                copy.mkdir(exist_ok=True)
                copy.chmod(path.stat().st_mode & 0o777 | 0o700)
            elif name in names:
                shutil.copy2(path, copy)
        except FileNotFoundError:
            continue  # it went while the folder was read, as editors' files do
        except OSError as error:
            raise Unreadable(
                f"{name} cannot be read: {error.strerror}.",
                fix="Change its permissions, or list it in .dockerignore.",
            ) from error
    return target


def _chosen(folder: Path, also: Sequence[str]) -> set[str]:
    """The names of the files to copy. Raises ContextTooLarge."""
    try:
        found = context_contents.contents(folder)
    except OSError as error:
        raise Unreadable(
            f"{error.filename or folder.name} cannot be read: {error.strerror}.",
            fix="Change its permissions, or list it in .dockerignore.",
        ) from error
    sent, total = found[found["sent"]], int(found[found["sent"]]["bytes"].sum())
    if total > MAX_CONTEXT_BYTES:
        heaviest = context_contents.by_top(sent).head(3)
        named = ", ".join(
            f"{entry} ({size / 1e6:.0f} MB)"
            for entry, size in zip(heaviest["entry"], heaviest["sent"], strict=True)
        )
        raise ContextTooLarge(
            f"The build context holds {total / 1e6:,.0f} MB.",
            f"The largest: {named}.",
            "List what the build does not need in .dockerignore.",
        )
    rest, names = found[~found["sent"]].sort_values("bytes", kind="stable"), set(sent["path"])
    total = 0
    for name, size in zip(rest["path"], rest["bytes"], strict=True):
        if any(fnmatch(name, pattern) for pattern in also):
            total += size
            if size > LARGEST_ASIDE or total > ASIDE:
                break  # the smallest came first
            names.add(name)
    return names


def entries(folder: Path) -> Iterator[Path]:
    """Everything below a folder, each folder before what is in it; follows no link, and passes over caches and what cannot be listed."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_PARTS)
        yield from (Path(place, name) for name in (*folders, *sorted(files)))


@cache
def given(lab: str, *places: str) -> Mapping[str, bytes]:
    """The files below these places (`app/`, `fetch.py`) as the lab hands them out."""
    return {
        path.as_posix(): content
        for path, content in workspace.starter_files(lab).items()
        if path.as_posix().startswith(places)
    }


def changed(folder: Path, lab: str, *places: str, but: Sequence[str] = ()) -> list[str]:
    """Which of the files below these places are not as the lab hands them out: changed, gone, or new; the names `but` do not count."""
    handed = given(lab, *places)
    here = {
        path.relative_to(folder).as_posix()
        for path in entries(folder)
        if path.is_symlink() or not path.is_dir()
    }
    names = handed.keys() | {name for name in here if name.startswith(places) and not name.endswith(".pyc")}
    return sorted(name for name in names - {*but} if not _holds(folder / name, handed.get(name)))


def _holds(path: Path, content: bytes | None) -> bool:
    """Whether a file holds just this; it is not opened before it is known to be a file of that size."""
    try:
        return (
            content is not None
            and path.is_file()
            and path.stat().st_size == len(content)
            and path.read_bytes() == content
        )
    except OSError:
        return False
