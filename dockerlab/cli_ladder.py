"""`dockerlab ladder`: every variant of the size ladder built, run and measured anew; a table and a picture in build/."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dockerlab.core.settings import BUILD
from dockerlab.core.units import mb
from dockerlab.detection.benchmark import ladder
from dockerlab.detection.variants import RUNGS
from dockerlab.engine import connection
from dockerlab.notebook.charts.ladder import size_ladder


def write(frame: pd.DataFrame) -> None:
    """Write build/ladder.csv and build/ladder.png."""
    BUILD.mkdir(parents=True, exist_ok=True)
    frame.drop(columns="title").to_csv(BUILD / "ladder.csv", index=False)
    size_ladder(frame).savefig(BUILD / "ladder.png", dpi=120)


def _report(frame: pd.DataFrame) -> None:
    """A line of the variant that was measured last; table and picture as far as they go."""
    row = frame.iloc[-1]
    print(
        f"{row['rung']}: {mb(row['disk_bytes'])} on disk, {mb(row['download_bytes'])} to download, built in {row['build_seconds']:.0f} s, "
        f"rebuilt in {row['rebuild_seconds']} s, answers after {row['cold_start_seconds']} s, agreement {row['agreement']}",
        flush=True,
    )
    write(frame)


def measure(names: Sequence[str]) -> None:
    """Build, run and measure these variants anew, all where none is named. Asks the engine."""
    frame = ladder(names or list(RUNGS), connection.connect(timeout=900), on_row=_report)
    print(frame.to_string(index=False))
