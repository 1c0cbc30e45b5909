"""The size ladder as a chart."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from dockerlab.charts.style import PALETTE, figure, state_finding


def size_ladder(frame: pd.DataFrame) -> Figure:
    """Disk and download size of every rung; needs columns rung, disk_bytes, download_bytes. Linear axis from zero, MB."""
    rows = frame.sort_values("disk_bytes", ascending=False).reset_index(drop=True)
    fig, axes = figure(rows=2 * len(rows))
    widest = rows["disk_bytes"].max() / 1e6
    for position, row in rows.iterrows():
        for shift, column, hatch in ((-0.19, "disk", None), (0.19, "download", "//")):
            value = row[f"{column}_bytes"] / 1e6
            axes.barh(position + shift, value, 0.36, color=PALETTE[column], hatch=hatch, edgecolor="white", linewidth=0.6)
            axes.text(value + widest * 0.008, position + shift, f"{value:,.0f} MB {'on disk' if column == 'disk' else 'to download'}",
                      va="center", fontsize=8.5, color=PALETTE["ink"])
    axes.set_yticks(range(len(rows)), rows["rung"])
    axes.invert_yaxis()
    axes.set_xlim(0, widest * 1.2)
    axes.set_xlabel("size of the image, MB (10⁶ bytes)")
    first, last = rows.iloc[0], rows.iloc[-1]
    ratio = first["disk_bytes"] / last["disk_bytes"]
    state_finding(axes, f"{last['rung']} is {ratio:,.0f} times smaller on disk than {first['rung']}" if len(rows) > 1 else f"{first['rung']}")
    return fig
