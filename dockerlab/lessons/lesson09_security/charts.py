"""What an intruder can do under several run lines, as a grid. Pure: DataFrame in, Figure out."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN


def attack_grid(frame: pd.DataFrame) -> Figure:
    """`attack_surface.compared`: a column a run line, from weak to strong, a row an attempt; filled where it works, the counts below."""
    rows, columns = frame.shape
    fig = Figure(figsize=(WIDTH_IN, 1.9 + 0.3 * rows), dpi=100, layout="constrained")
    axes = fig.add_subplot()
    for row in range(rows):
        for column in range(columns):
            works = bool(frame.iloc[row, column])
            colour = PALETTE["bad"] if works else PALETTE["faint"]
            axes.add_patch(
                Rectangle((column - 0.46, row - 0.42), 0.92, 0.84, facecolor=colour, edgecolor="none")
            )
            axes.text(
                column,
                row,
                "can" if works else "–",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if works else PALETTE["ink"],
            )
    for column, count in enumerate(frame.sum()):
        axes.text(
            column,
            rows + 0.1,
            f"{count}",
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=PALETTE["ink"],
        )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows + 0.55, -0.5)
    axes.set_yticks([*range(rows), rows + 0.1], [*frame.index, "attempts that work"], fontsize=8.5)
    axes.set_xticks(
        range(columns), list(frame.columns), fontsize=8, rotation=50, ha="left", rotation_mode="anchor"
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=PALETTE["ink"])
    axes.spines[:].set_visible(False)
    fig.suptitle(_finding(frame), x=0.01, ha="left", fontsize=11, fontweight="bold", color=PALETTE["ink"])
    return fig


def _finding(frame: pd.DataFrame) -> str:
    counts = list(frame.sum())
    if len(counts) == 1:
        return f"{counts[0]} of {len(frame)} attempts work"
    return (
        f"From {counts[0]} of {len(frame)} attempts that work to {counts[-1]}: each line takes something away"
    )
