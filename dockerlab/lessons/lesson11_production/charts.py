"""Workers against CPUs, and requests while releases are shipped. Pure: DataFrame in, Figure out."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, figure, state_finding

# One colour and one marker a release, so that they can be told apart in grey.
RELEASES = {"1": (PALETTE["download"], "o"), "2": (PALETTE["run"], "s"), "3": (PALETTE["good"], "D")}


def workers(frame: pd.DataFrame, finding: str) -> Figure:
    """One row of bars for each way of running: answers a second, p95 latency and memory, a panel each.

    Columns: cpus, workers, per_second, p95_ms, memory_mb.
    """
    panels = (("per_second", "answers a second"), ("p95_ms", "p95 latency, ms"), ("memory_mb", "memory, MB"))
    fig = Figure(figsize=(WIDTH_IN, 1.1 + 0.36 * len(frame)), dpi=100, layout="constrained")
    names = [
        f"{row.cpus:g} CPU{'s' if row.cpus > 1 else ''}, {row.workers} worker{'s' if row.workers > 1 else ''}"
        for row in frame.itertuples()
    ]
    for number, (axes, (column, title)) in enumerate(zip(fig.subplots(1, 3), panels, strict=True)):
        widest = max(frame[column].max(), 1e-9)
        colours = [PALETTE["cached" if cpus == 1 else "run"] for cpus in frame["cpus"]]
        axes.barh(range(len(frame)), frame[column], 0.62, color=colours)
        for row, value in enumerate(frame[column]):
            axes.text(
                value + widest * 0.03, row, f"{value:,.0f}", va="center", fontsize=8.5, color=PALETTE["ink"]
            )
        axes.set_xlim(0, widest * 1.3)
        axes.set_yticks(range(len(frame)), names if number == 0 else [""] * len(frame), fontsize=8.5)
        axes.invert_yaxis()
        axes.set_title(title, loc="left", fontsize=9.5, color=PALETTE["ink"])
        axes.set_xticks([])
        axes.tick_params(length=0, colors=PALETTE["ink"])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    fig.suptitle(finding, x=0.01, ha="left", fontsize=11, fontweight="bold", color=PALETTE["ink"])
    return fig


def requests(runs: Mapping[str, pd.DataFrame], finding: str) -> Figure:
    """Every request as a point, a lane for each rollout: when it began, and who answered; a cross for each that failed.

    Each frame has the columns of `load.Seen.frame()`; the lanes are `runs` from top to bottom.
    """
    fig, axes = figure(rows=2.2 * len(runs))
    end = max((frame["started"].max() for frame in runs.values() if len(frame)), default=1.0)
    used: list[str] = []
    for lane, (name, frame) in enumerate(runs.items()):
        good = frame[frame["status"] == 200]
        for version, part in good.groupby("version"):
            colour, marker = RELEASES.get(version, (PALETTE["ink"], "o"))
            label = None if version in used else f"release {version}"
            axes.scatter(
                part["started"], [lane] * len(part), s=22, color=colour, marker=marker, zorder=2, label=label
            )
            used.append(version)
        bad = frame[frame["status"] != 200]
        if len(bad):
            axes.scatter(
                bad["started"],
                [lane + 0.24] * len(bad),
                s=34,
                color=PALETTE["bad"],
                marker="x",
                zorder=3,
                label=None if "bad" in used else "failed",
            )
            used.append("bad")
        count = f"{len(bad)} of {len(frame)} failed" if len(bad) else f"none of {len(frame)} failed"
        axes.text(0, lane - 0.3, f"{name}: {count}", fontsize=9, color=PALETTE["ink"], va="bottom")
    axes.set_xlim(-0.02 * end, end * 1.03)
    axes.set_ylim(len(runs) - 0.35, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("seconds since the load began", fontsize=9, color=PALETTE["ink"])
    if used:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.32 / max(1, len(runs)) - 0.08),
            ncols=4,
            frameon=False,
            fontsize=8.5,
        )
    state_finding(axes, finding)
    return fig
