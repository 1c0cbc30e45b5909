"""The layers of an image as bars: what each instruction weighs, and what of it no container ever sees."""

from __future__ import annotations

from matplotlib.figure import Figure

from dockerlab.core.units import mb
from dockerlab.images.image_report import ImageReport
from dockerlab.notebook.charts.style import PALETTE, figure, state_finding

_LONGEST = 46


def layer_stack(report: ImageReport) -> Figure:
    """One bar a layer, first instruction on top: MB on disk; hatched, what a later layer hides. Linear axis from zero."""
    wasted = [0] * len(report.layers)
    for each in report.hidden:
        wasted[each.wrote] += each.size
    fig, axes = figure(rows=max(1, len(report.layers)))
    widest = max((layer.disk_bytes for layer in report.layers), default=0) / 1e6 or 1.0
    for row, (layer, hidden) in enumerate(zip(report.layers, wasted, strict=True)):
        size, unseen = layer.disk_bytes / 1e6, hidden / 1e6
        axes.barh(row, size - unseen, 0.62, color=PALETTE["disk"])
        label = mb(layer.disk_bytes) if layer.disk_bytes else "0 MB"
        if unseen:
            axes.barh(
                row,
                unseen,
                0.62,
                left=size - unseen,
                color=PALETTE["bad"],
                hatch="//",
                edgecolor="white",
                linewidth=0.6,
            )
            label += f", {mb(hidden)} of it wasted"
        axes.text(size + widest * 0.01, row, label, va="center", fontsize=8.5, color=PALETTE["ink"])
    names = [
        layer.instruction if len(layer.instruction) <= _LONGEST else layer.instruction[: _LONGEST - 1] + "…"
        for layer in report.layers
    ]
    # "$" would start a formula.
    axes.set_yticks(
        range(len(names)), [name.replace("$", r"\$") for name in names], fontsize=8, family="monospace"
    )
    axes.invert_yaxis()
    axes.set_xlim(0, widest * (1.45 if any(wasted) else 1.2))
    axes.set_xlabel("size on disk, MB (10⁶ bytes)")
    state_finding(axes, _finding(report))
    return fig


def _finding(report: ImageReport) -> str:
    total = report.disk_bytes
    if not total:
        return "The image holds no file"
    if report.wasted_bytes >= 0.1 * total:
        return f"{report.wasted_bytes / total:.0%} of the {mb(total)} ship but are never seen"
    sizes = sorted((layer.disk_bytes for layer in report.layers), reverse=True)
    for count, words in ((1, "One layer holds"), (2, "Two layers hold")):
        if sum(sizes[:count]) >= 0.5 * total:
            return f"{words} {sum(sizes[:count]) / total:.0%} of the {mb(total)}"
    return f"{len(sizes)} layers share {mb(total)}; the largest holds {sizes[0] / total:.0%}"
