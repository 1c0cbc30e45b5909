"""What a build sends to the engine: the files of its context, with and without .dockerignore. Reads a folder; needs no engine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from dockerlab.images.ignore_rules import IgnoreRules


def contents(folder: Path, dockerfile: str = "Dockerfile") -> pd.DataFrame:
    """One row a file below `folder`: path, bytes, and whether a build with this Dockerfile sends it. Raises ignore.BadPattern."""
    sent = set(IgnoreRules.of(folder, dockerfile).walk(folder))
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    rows = [
        (name, path.stat().st_size, name in sent)
        for path in found
        for name in (path.relative_to(folder).as_posix(),)
    ]
    return pd.DataFrame(rows, columns=["path", "bytes", "sent"])


def by_top(frame: pd.DataFrame) -> pd.DataFrame:
    """The files of `contents` summed by what stands at the top of the folder: entry, sent, ignored (bytes); heaviest first."""
    parts = frame["path"].map(lambda path: PurePosixPath(path).parts)
    summed = (
        pd.DataFrame(
            {
                "entry": parts.map(lambda names: names[0] + ("/" if len(names) > 1 else "")),
                "sent": frame["bytes"].where(frame["sent"], 0),
                "ignored": frame["bytes"].where(~frame["sent"], 0),
            }
        )
        .groupby("entry", as_index=False)
        .sum()
    )
    order = (summed["sent"] + summed["ignored"]).sort_values(ascending=False, kind="stable").index
    return summed.loc[order].reset_index(drop=True)
