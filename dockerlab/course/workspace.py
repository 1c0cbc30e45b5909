"""The learner's copy of a lab: find it, give back the starter, show the solution; what was there is kept first."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePath

from dockerlab.core import hashing
from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.course.authoring.regions import (
    INCLUDE,
    SKIPPED_PARTS,
    derive_bytes,
    included_files,
    source_files,
)

SOURCE = PurePath("lab.py")
NOTEBOOK = PurePath("lab.ipynb")
CRITERIA = PurePath("criteria.toml")  # for the checks: neither starter nor solution holds it
SAVED = ".saved"


def find(lab: str, root: Path = ROOT) -> Path:
    """The source folder of a lab given as `5`, `05` or `05_name`. Raises CourseError for a lab that does not exist."""
    labs = sorted(path for path in (root / "sources/labs").glob("[!._]*") if path.is_dir())
    wanted = lab.strip().zfill(2) if lab.strip().isdigit() else lab.strip()
    for path in labs:
        if wanted and wanted in (path.name, path.name.split("_")[0]):
            return path
    known = ", ".join(path.name.split("_")[0] for path in labs) or "none yet"
    raise CourseError(f"There is no lab {lab!r}.", fix=f"Labs: {known}.")


def derived_files(source: Path, root: Path = ROOT) -> tuple[dict[PurePath, bytes], dict[PurePath, bytes]]:
    """Solution and starter of one lab as path -> content; the notebook (lab.py -> lab.ipynb) is not executed.

    Raises BuildError for a source that breaks the rules of regions, tags or lint.
    """
    from dockerlab.course.authoring import notebooks  # seconds that `check` and `progress` do not need

    contents = source_files(source)
    for name in (PurePath(INCLUDE), CRITERIA):
        contents.pop(name, None)
    included = included_files(source, root)
    digest = hashing.digest(contents | included)
    solved: dict[PurePath, bytes] = {}
    starter: dict[PurePath, bytes] = {}
    for path, content in contents.items():
        where = f"{source.relative_to(root).as_posix()}/{path.as_posix()}"
        if path == SOURCE:
            pair = notebooks.lab(content.decode("utf-8"), source.name, where, digest)
            solved[NOTEBOOK], starter[NOTEBOOK] = (notebooks.dump(notebook) for notebook in pair)
        else:
            solved[path], starter[path] = derive_bytes(content, path, where)
    return solved | included, starter | included


def starter_files(lab: str, root: Path = ROOT) -> dict[PurePath, bytes]:
    """What a learner begins with, derived from the sources, so that no version control is needed to get it back."""
    return derived_files(find(lab, root), root)[1]


def solution_files(lab: str, root: Path = ROOT) -> dict[PurePath, bytes]:
    """The course's solution: the executed one where it was built, else the one derived from the sources."""
    source = find(lab, root)
    return files(root / "solutions" / source.name) or derived_files(source, root)[0]


def files(folder: Path) -> dict[PurePath, bytes]:
    """Every file in a lab folder, without caches; empty where there is none."""
    return source_files(folder) if folder.is_dir() else {}


def reset(lab: str, root: Path = ROOT) -> Path | None:
    """Put the starter into labs/; returns where the learner's version was kept, None where there was nothing to keep."""
    return replace(root / "labs", find(lab, root).name, starter_files(lab, root))


def solve(lab: str, root: Path = ROOT) -> Path | None:
    """Put the solution into labs/; returns where the learner's version was kept, None where there was nothing to keep."""
    return replace(root / "labs", find(lab, root).name, solution_files(lab, root))


def write(folder: Path, contents: Mapping[PurePath, bytes] | Mapping[str, bytes]) -> None:
    """Write these files below a folder, in place of those of the same names; others stay. Raises OSError."""
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def replace(labs: Path, name: str, contents: Mapping[PurePath, bytes]) -> Path | None:
    """Make labs/`name` hold exactly these files; an older version that differs is moved to labs/.saved/NN-n first.

    The new folder is complete before the old one moves away. Raises CourseError where the folder cannot be written.
    """
    target = labs / name
    if _holds(target, contents):
        return None
    try:
        labs.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".new-{name}-", dir=labs))
        try:
            staged.chmod(0o755)
            write(staged, contents)
            kept = _keep(labs, target)
            staged.rename(target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise CourseError(
            f"{target} cannot be written.",
            f"{error}.",
            "Make the course folder writable, or copy it to one that is.",
        ) from error
    return kept


def _inside(folder: Path) -> dict[PurePath, Path]:
    """Whatever is no folder in it: also a link that leads nowhere, a pipe, a file that nobody may read. Without caches."""
    found = {
        PurePath(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    return {
        name: path
        for name, path in found.items()
        if not SKIPPED_PARTS & set(name.parts) and name.suffix != ".pyc"
    }


def _holds(folder: Path, contents: Mapping[PurePath, bytes]) -> bool:
    """Whether a folder holds exactly these files; a learner's may hold gigabytes, so no file is read before its size is right."""
    try:
        found = _inside(folder) if folder.is_dir() else {}
        return found.keys() == contents.keys() and all(
            path.is_file()
            and path.stat().st_size == len(contents[name])
            and path.read_bytes() == contents[name]
            for name, path in found.items()
        )
    except OSError:
        return False


def _keep(labs: Path, target: Path) -> Path | None:
    """Move what is there out of the way, whatever it is; an empty folder is removed."""
    if not os.path.lexists(target):
        return None
    if target.is_dir() and not target.is_symlink() and not _inside(target):
        shutil.rmtree(target)
        return None
    saved = labs / SAVED
    saved.mkdir(exist_ok=True)
    number = target.name.split("_")[0]
    taken = [
        int(path.name.rpartition("-")[2])
        for path in saved.glob(f"{number}-*")
        if path.name.rpartition("-")[2].isdigit()
    ]
    kept = saved / f"{number}-{max(taken, default=0) + 1}"
    target.rename(kept)
    for path in kept.rglob("*"):
        if path.name in SKIPPED_PARTS and path.is_dir():
            shutil.rmtree(path)
    return kept
