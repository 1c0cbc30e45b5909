"""The cache as charts: which edit reruns which step, and what installing packages costs with and without a cache mount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dockerlab.images.cache_model import Verdict
from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, figure, state_finding

_LONGEST = 40


def rerun_matrix(edits: Mapping[str, Sequence[Verdict]]) -> Figure:
    """Rows: the steps; columns: the edits. Dark: the step ran, with the reason in a word; hatched: it came from the cache."""
    steps = list(dict.fromkeys(each.instruction for verdicts in edits.values() for each in verdicts))
    fig, axes = figure(rows=len(steps) + 1)
    for column, verdicts in enumerate(edits.values()):
        for each in verdicts:
            row = steps.index(each.instruction)
            colour, hatch = (PALETTE["run"], None) if each.ran else ("white", "//")
            axes.add_patch(
                Rectangle(
                    (column - 0.46, row - 0.4),
                    0.92,
                    0.8,
                    facecolor=colour,
                    hatch=hatch,
                    edgecolor=PALETTE["cached"],
                    linewidth=0.8,
                )
            )
            word = each.cause if each.ran else "cached"
            axes.text(
                column,
                row,
                word,
                ha="center",
                va="center",
                fontsize=8.5,
                color="white" if each.ran else PALETTE["ink"],
                bbox=None if each.ran else {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )
    axes.set_xlim(-0.5, len(edits) - 0.5)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_xticks(range(len(edits)), [name.replace(" ", "\n", 1) for name in edits], fontsize=8.5)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(steps)), [_short(step) for step in steps], fontsize=8, family="monospace")
    axes.spines[["left", "bottom"]].set_visible(False)
    idle = sum(not any(each.ran for each in verdicts) for verdicts in edits.values())
    most = max(edits, key=lambda name: sum(each.ran for each in edits[name]))
    count = sum(each.ran for each in edits[most])
    state_finding(
        axes, f"{idle} of {len(edits)} edits run nothing; “{most}” runs {count} of {len(steps)} steps"
    )
    return fig


def install_costs(frame: pd.DataFrame) -> Figure:
    """Two panels of bars from the columns way, seconds, megabytes: what an installation takes of time and network. Linear from zero."""
    fig = Figure(figsize=(WIDTH_IN, 1.5 + 0.42 * len(frame)), dpi=100, layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    for axes, column, unit, colour in ((left, "seconds", "s", "run"), (right, "megabytes", "MB", "download")):
        _bars(axes, frame[column].tolist(), unit, PALETTE[colour])
    left.set_yticks(range(len(frame)), frame["way"], fontsize=9)
    left.invert_yaxis()
    left.set_xlabel("seconds for the step that installs")
    right.set_xlabel("downloaded, MB (10⁶ bytes)")
    slow, quick = frame.loc[frame["seconds"].idxmax()], frame.loc[frame["seconds"].idxmin()]
    title = f"{quick['way']}: {slow['seconds'] / quick['seconds']:.1f} times faster than {slow['way']}"
    fig.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=PALETTE["ink"])
    return fig


def _bars(axes: Axes, values: Sequence[float], unit: str, colour: str) -> None:
    widest = max(values, default=0) or 1.0
    for row, value in enumerate(values):
        axes.barh(row, value, 0.62, color=colour)
        axes.text(
            value + widest * 0.015,
            row,
            f"{value:.1f} {unit}",
            va="center",
            fontsize=8.5,
            color=PALETTE["ink"],
        )
    axes.set_xlim(0, widest * 1.22)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0, colors=PALETTE["ink"])


def _short(step: str) -> str:
    text = step if len(step) <= _LONGEST else step[: _LONGEST - 1] + "…"
    return text.replace("$", r"\$")  # "$" would start a formula
