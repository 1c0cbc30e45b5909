"""The size ladder as charts: both sizes as bars, and every measure as small multiples; what fills an image, package by package."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from dockerlab.notebook.charts.panels import Panel, small_multiples
from dockerlab.notebook.charts.style import PALETTE, figure, state_finding

MEASURES = (
    Panel("disk_bytes", "on disk", "MB", 1e6),
    Panel("download_bytes", "to download", "MB", 1e6),
    Panel("build_seconds", "build without a cache", "s"),
    Panel("rebuild_seconds", "rebuild after one edited line", "s"),
    Panel("cold_start_seconds", "from docker run to the first answer", "s"),
    Panel("latency_p50_ms", "latency, median of one request after another", "ms"),
    Panel("agreement", "agreement of the boxes with the first rung", "", more_is_better=True),
)


def size_ladder(frame: pd.DataFrame, finding: str | None = None) -> Figure:
    """Disk and download size of every rung; needs columns rung, disk_bytes, download_bytes. Linear axis from zero, MB."""
    rows = frame.sort_values("disk_bytes", ascending=False).reset_index(drop=True)
    fig, axes = figure(rows=2 * len(rows))
    widest = rows["disk_bytes"].max() / 1e6
    for position, row in rows.iterrows():
        for shift, column, hatch in ((-0.19, "disk", None), (0.19, "download", "//")):
            value = row[f"{column}_bytes"] / 1e6
            axes.barh(
                position + shift,
                value,
                0.36,
                color=PALETTE[column],
                hatch=hatch,
                edgecolor="white",
                linewidth=0.6,
            )
            axes.text(
                value + widest * 0.008,
                position + shift,
                f"{value:,.0f} MB {'on disk' if column == 'disk' else 'to download'}",
                va="center",
                fontsize=8.5,
                color=PALETTE["ink"],
            )
    axes.set_yticks(range(len(rows)), rows["rung"])
    axes.invert_yaxis()
    axes.set_xlim(0, widest * 1.22)
    axes.set_xlabel("size of the image, MB (10⁶ bytes)")
    first, last = rows.iloc[0], rows.iloc[-1]
    ratio = first["disk_bytes"] / last["disk_bytes"]
    state_finding(
        axes,
        finding
        or (
            f"{last['rung']} is {ratio:,.0f} times smaller on disk than {first['rung']}"
            if len(rows) > 1
            else f"{first['rung']}"
        ),
    )
    return fig


def ladder_panels(frame: pd.DataFrame) -> Figure:
    """Every measure of the ladder, a panel each; needs the columns of `measure.COLUMNS`."""
    first, last = frame.iloc[0], frame.iloc[-1]
    size, rebuild = (first[column] / last[column] for column in ("disk_bytes", "rebuild_seconds"))
    same = (
        "the same boxes"
        if frame["agreement"].min() >= 0.99
        else f"boxes that agree to {frame['agreement'].min():.0%}"
    )
    finding = f"{last['rung']} against {first['rung']}: {size:,.0f} times smaller, rebuilt {rebuild:,.0f} times faster, {same}"
    named = frame.assign(name=frame["rung"] + "\n" + frame["title"])
    return small_multiples(named, MEASURES, finding, "name")


def package_bars(frame: pd.DataFrame, finding: str, most: int = 14) -> Figure:
    """The heaviest packages of an image as bars, the rest in one; needs columns package, MB and group (of the same colour: nvidia, other)."""
    rows = frame.sort_values("MB", ascending=False)
    shown, rest = rows.head(most), rows.iloc[most:]
    names, sizes, groups = (list(shown[column]) for column in ("package", "MB", "group"))
    if len(rest):
        names, sizes, groups = [*names, f"{len(rest)} others"], [*sizes, rest["MB"].sum()], [*groups, "other"]
    fig, axes = figure(rows=0.62 * len(names))
    widest = max(sizes, default=1.0)
    for row, (size, group) in enumerate(zip(sizes, groups, strict=True)):
        bad = group == "gpu"
        axes.barh(
            row,
            size,
            0.66,
            color=PALETTE["bad" if bad else "disk"],
            hatch="//" if bad else None,
            edgecolor="white",
            linewidth=0.6,
        )
        axes.text(
            size + widest * 0.008,
            row,
            f"{size:,.0f} MB{', for GPUs only' if bad else ''}",
            va="center",
            fontsize=8,
            color=PALETTE["ink"],
        )
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, widest * 1.26)
    axes.set_xlabel("size on disk, MB (10⁶ bytes)")
    state_finding(axes, finding)
    return fig
