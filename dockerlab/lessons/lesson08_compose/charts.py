"""Findings about a composed service: who reaches whom, and what a cache saves. Pure: DataFrame in, Figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, figure, state_finding


def reachability(matrix: pd.DataFrame, finding: str, ports: Mapping[str, int] | None = None) -> Figure:
    """A square for each pair: ✓ where the row reaches the column, ✗ where not. `ports` are written below the names of the columns."""
    rows, columns = matrix.shape
    fig = Figure(figsize=(WIDTH_IN, 1.2 + 0.42 * rows), dpi=100, layout="constrained")
    axes = fig.add_subplot()
    for row, (_, values) in enumerate(matrix.iterrows()):
        for column, reaches in enumerate(values):
            axes.add_patch(_square(column, row, bool(reaches)))
            axes.text(
                column,
                row,
                "✓" if reaches else "✗",
                ha="center",
                va="center",
                fontsize=12,
                fontweight="bold",
                color="white" if reaches else PALETTE["ink"],
                family="DejaVu Sans",
            )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    named = [f"{name}\n:{ports[name]}" if ports and name in ports else str(name) for name in matrix.columns]
    axes.set_xticks(range(columns), [f"→ {name}" for name in named], fontsize=9)
    axes.set_yticks(range(rows), [f"from {name}" for name in matrix.index], fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=PALETTE["ink"])
    axes.spines[:].set_visible(False)
    fig.suptitle(finding, x=0.01, ha="left", fontsize=11, fontweight="bold", color=PALETTE["ink"])
    return fig


def _square(column: int, row: int, reaches: bool) -> Rectangle:
    return Rectangle(
        (column - 0.46, row - 0.43),
        0.92,
        0.86,
        facecolor=PALETTE["run"] if reaches else PALETTE["faint"],
        edgecolor="white",
    )


def answer_times(times: Mapping[str, Sequence[float]], finding: str) -> Figure:
    """Milliseconds of every request as dots, a row a kind, with a bar up to the median. Axis from zero."""
    fig, axes = figure(rows=2 * len(times))
    colours = [PALETTE["bad"], PALETTE["best"], PALETTE["run"]]
    for row, values in enumerate(times.values()):
        middle = median(values)
        axes.barh(row, middle, 0.5, color=colours[row % 3], alpha=0.35)
        spread = [row + 0.24 * (2 * (number % 5) / 4 - 1) for number in range(len(values))]
        axes.scatter(values, spread, s=16, color=colours[row % 3], edgecolor="white", linewidth=0.4, zorder=3)
        axes.text(
            max([*values, middle]),
            row,
            f"   median {middle:.0f} ms",
            va="center",
            fontsize=9,
            color=PALETTE["ink"],
        )
    axes.set_yticks(range(len(times)), list(times), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(value for values in times.values() for value in values))
    axes.set_xlabel("milliseconds until the answer is here; a dot is one picture, the bar ends at the median")
    state_finding(axes, finding)
    return fig
