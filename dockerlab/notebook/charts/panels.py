"""Small multiples: the same rows measured in several ways, a panel a measure. Pure: DataFrame in, Figure out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN


@dataclass(frozen=True)
class Panel:
    """One measure: the column of the table, what to write above it, and how to write a value.

    Values are divided by `divide` first. The smallest value is the best one, with `more_is_better` the largest.
    """

    column: str
    title: str
    unit: str = ""
    divide: float = 1.0
    more_is_better: bool = False


def small_multiples(
    frame: pd.DataFrame, panels: Sequence[Panel], finding: str, label: str, columns: int = 2
) -> Figure:
    """One row of bars for each row of `frame`, in its order, named by its column `label`; every panel has its own linear axis from zero.

    The best value of a panel is drawn in another colour and starred; a missing one is written as such.
    """
    lines = math.ceil(len(panels) / columns)
    # 0.3 in a bar, and room for a panel's title
    fig = Figure(figsize=(WIDTH_IN, 0.7 + lines * (0.42 + 0.3 * len(frame))), dpi=100, layout="constrained")
    grid = fig.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, frame, panel)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(frame)), frame[label], fontsize=8.5)
        axes.tick_params(axis="y", labelleft=True)
    grid[0, 0].invert_yaxis()
    fig.suptitle(finding, x=0.01, ha="left", fontsize=11, fontweight="bold", color=PALETTE["ink"])
    return fig


def _draw(axes: Axes, frame: pd.DataFrame, panel: Panel) -> None:
    values = [float(value) / panel.divide for value in frame[panel.column]]
    known = [value for value in values if not math.isnan(value)]
    best = (max if panel.more_is_better else min)(known, default=math.nan)
    widest = max(known, default=1.0) or 1.0
    for row, value in enumerate(values):
        if math.isnan(value):
            axes.text(
                widest * 0.02,
                row,
                "not measured",
                va="center",
                fontsize=8,
                style="italic",
                color=PALETTE["ink"],
            )
            continue
        axes.barh(row, value, 0.62, color=PALETTE["best" if value == best else "run"])
        star = " ★" if value == best and len(set(known)) > 1 else ""
        axes.text(
            value + widest * 0.02,
            row,
            f"{written(value)}{' ' + panel.unit if panel.unit else ''}{star}",
            va="center",
            fontsize=8.5,
            color=PALETTE["ink"],
        )
    axes.set_title(panel.title, loc="left", fontsize=9.5, color=PALETTE["ink"])
    axes.set_xlim(0, widest * 1.32)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(length=0, colors=PALETTE["ink"])


def written(value: float) -> str:
    """A value with as many digits as can be read: 6,671 and 82 and 2.7 and 0.26."""
    if value == int(value) and value < 1000:
        return f"{value:.0f}"
    return f"{value:,.0f}" if abs(value) >= 20 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"
