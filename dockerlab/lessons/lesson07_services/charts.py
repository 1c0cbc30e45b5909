"""How a service stops, answers under a quota, and uses its machine. Pure: tables in, Figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from dockerlab.containers.stats import Load
from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, figure, state_finding


def stop_bars(stops: pd.DataFrame, finding: str) -> Figure:
    """One bar a way to start the service: seconds until it was gone; what became of the running request stands behind it.

    `stops` has the way as index and the columns seconds, exit code, request.
    """
    fig, axes = figure(rows=len(stops))
    longest = float(stops["seconds"].max()) or 1.0
    for row, (_, stop) in enumerate(stops.iterrows()):
        good = stop["request"] == "answered" and stop["exit code"] != 137
        axes.barh(
            row,
            stop["seconds"],
            0.6,
            color=PALETTE["best" if good else "bad"],
            hatch=None if good else "//",
            edgecolor="white",
        )
        axes.text(
            stop["seconds"] + longest * 0.02,
            row,
            f"{stop['seconds']:.1f} s, exit code {stop['exit code']}, request {stop['request']}",
            va="center",
            fontsize=8.5,
            color=PALETTE["ink"],
        )
    axes.set_yticks(range(len(stops)), list(stops.index), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.75)
    axes.set_xlabel("seconds from docker stop to the end")
    state_finding(axes, finding)
    return fig


def latency_by_threads(times: pd.DataFrame, finding: str) -> Figure:
    """Median answer in milliseconds against the CPU limit, a line for each column of `times`; its index is the limit in CPUs."""
    fig, axes = figure(rows=8)
    looks = (("o-", PALETTE["best"]), ("s--", PALETTE["bad"]), ("^:", PALETTE["run"]))
    for (name, column), (line, colour) in zip(times.items(), looks, strict=False):
        axes.plot(times.index, column, line, color=colour, linewidth=2, markersize=7)
        for cpus, value in column.items():
            # The line falls to the right: only the first value has its name beside it, the others stand clear of the line.
            place, side = ((0, 8), "center") if cpus == column.index[0] else ((6, 6), "left")
            axes.annotate(
                f"{value:.0f}",
                (cpus, value),
                place,
                textcoords="offset points",
                ha=side,
                fontsize=8.5,
                color=colour,
            )
        axes.annotate(
            str(name),
            (column.index[0], column.iloc[0]),
            (16, 8),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            color=colour,
        )
    axes.set_xlim(0, float(max(times.index)) * 1.08)
    axes.set_ylim(0, float(times.max().max()) * 1.15)
    axes.set_xticks(list(times.index), [f"{cpus:g}" for cpus in times.index])
    axes.set_xlabel("--cpus")
    axes.set_ylabel("median answer, ms")
    state_finding(axes, finding)
    return fig


def usage_over_time(
    samples: Sequence[Load], cpus: float, finding: str, marks: Mapping[int, str] | None = None
) -> Figure:
    """CPU and memory of one container, a sample a second, each with its limit as a dashed line. `marks` are words at a sample."""
    fig = Figure(figsize=(WIDTH_IN, 3.8), dpi=100, layout="constrained")
    above, below = fig.subplots(2, 1, sharex=True)
    limit = samples[-1].limit_bytes / 1e6 if samples else 0.0
    for axes, values, top, unit in (
        (above, [each.cpu_percent for each in samples], 100 * cpus, "CPU, % of one"),
        (below, [each.memory_bytes / 1e6 for each in samples], limit, "memory, MB"),
    ):
        axes.plot(range(1, len(values) + 1), values, "o-", color=PALETTE["run"], linewidth=2, markersize=5)
        axes.axhline(top, color=PALETTE["bad"], linestyle="--", linewidth=1.2)
        axes.text(
            len(values) + 0.1,
            top,
            f"limit {top:,.0f}",
            ha="right",
            va="bottom",
            fontsize=8.5,
            color=PALETTE["bad"],
        )
        axes.set_ylim(0, max([top, *values]) * 1.25)
        axes.set_ylabel(unit, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0, colors=PALETTE["ink"])
    for at, word in (marks or {}).items():
        for axes in (above, below):
            axes.axvline(at, color=PALETTE["faint"], linewidth=1.5, zorder=0)
        above.text(at + 0.06, 2, word, fontsize=8.5, color=PALETTE["ink"])
    below.set_xticks(range(1, len(samples) + 1))
    below.set_xlabel("sample, one a second")
    state_finding(above, finding)
    return fig
