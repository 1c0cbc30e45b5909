"""An image as a stack of read-only layers, with the writable layer of each of its containers on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dockerlab.core.units import mb
from dockerlab.images.image_report import ImageReport, Layer
from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, state_finding

_HIGH, _GAP, _WIDE = 0.8, 0.12, 10.0
_LONGEST = 56
_MOST_LAYERS = 12


@dataclass(frozen=True)
class Writable:
    """The writable layer of one container: its name, its bytes, and a file or two worth naming."""

    name: str
    size: int
    files: tuple[str, ...] = ()


def stack_with_containers(report: ImageReport, containers: Sequence[Writable]) -> Figure:
    """Layers from the bottom (the base) to the top, one box each, equally high; a dashed box a container above them."""
    layers = report.layers[-_MOST_LAYERS:]
    rows = len(layers) + 1.7
    fig = Figure(figsize=(WIDTH_IN, 0.9 + rows * 0.4), dpi=100, layout="constrained")
    axes = fig.add_subplot()
    for row, layer in enumerate(layers):
        _layer(axes, row * (_HIGH + _GAP), layer)
    top = len(layers) * (_HIGH + _GAP)
    share = _WIDE / max(1, len(containers))
    for number, each in enumerate(containers):
        _writable(axes, number * share, top + 0.25, share, each)
    axes.text(
        _WIDE + 0.2,
        (top - _GAP) / 2,
        "read-only:\nstored once",
        va="center",
        fontsize=9,
        color=PALETTE["ink"],
    )
    if containers:
        axes.text(
            _WIDE + 0.2,
            top + 0.25 + _HIGH * 0.8,
            "writable:\none each",
            va="center",
            fontsize=9,
            color=PALETTE["ink"],
        )
    axes.set_xlim(-0.05, _WIDE + 2.0)
    axes.set_ylim(-0.1, top + 2.0)
    axes.set_axis_off()
    state_finding(axes, _finding(report, containers))
    return fig


def _layer(axes: Axes, bottom: float, layer: Layer) -> None:
    instruction, files = layer.instruction, len(layer.files)
    size = f"{files:,} file{'' if files == 1 else 's'}, {_size(layer.disk_bytes)}" if files else "no file"
    axes.add_patch(
        Rectangle(
            (0, bottom), _WIDE, _HIGH, facecolor=PALETTE["cached"], edgecolor=PALETTE["ink"], linewidth=0.8
        )
    )
    text = instruction if len(instruction) <= _LONGEST else f"{instruction[: _LONGEST - 1]}…"
    axes.text(
        0.15,
        bottom + _HIGH / 2,
        text.replace("$", r"\$"),
        va="center",
        fontsize=8,
        family="monospace",
        color=PALETTE["ink"],
    )
    axes.text(
        _WIDE - 0.15, bottom + _HIGH / 2, size, va="center", ha="right", fontsize=8.5, color=PALETTE["ink"]
    )


def _writable(axes: Axes, left: float, bottom: float, share: float, each: Writable) -> None:
    high = _HIGH * 1.7
    axes.add_patch(
        Rectangle(
            (left + 0.06, bottom),
            share - 0.12,
            high,
            facecolor="white",
            edgecolor=PALETTE["good"],
            linewidth=2,
            linestyle="--",
        )
    )
    axes.text(
        left + 0.25,
        bottom + high * 0.7,
        each.name,
        va="center",
        fontsize=9,
        fontweight="bold",
        color=PALETTE["ink"],
    )
    axes.text(
        left + share - 0.25,
        bottom + high * 0.7,
        _size(each.size),
        va="center",
        ha="right",
        fontsize=8.5,
        color=PALETTE["ink"],
    )
    axes.text(
        left + 0.25,
        bottom + high * 0.28,
        "   ".join(each.files) or "nothing of its own",
        va="center",
        fontsize=8,
        family="monospace",
        color=PALETTE["ink"],
    )


def _size(size: int) -> str:
    return mb(size) if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _finding(report: ImageReport, containers: Sequence[Writable]) -> str:
    if not containers:
        return f"{len(report.layers)} read-only layers make {mb(report.disk_bytes)}"
    own = sum(each.size for each in containers)
    return f"{len(containers)} containers share {mb(report.disk_bytes)} and add {mb(own)} of their own"
