"""One look for every chart of the course: colours that keep their order in greyscale, titles that state a finding."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Chosen so that their luminance falls in steps: the same order can be read from a grey print.
PALETTE = {
    "cached": "#c9d6df",
    "run": "#2f6f9f",
    "bad": "#7a1f2b",
    "good": "#d98e32",
    "best": "#2f7d5b",
    "disk": "#2f6f9f",
    "download": "#9fc2d8",
    "ink": "#22303a",
    "faint": "#d9dee2",
}
WIDTH_IN = 8.0


def figure(rows: float = 5, width: float = WIDTH_IN) -> tuple[Figure, Axes]:
    """An empty figure for about `rows` bars, 800 px wide, not tied to pyplot's global state."""
    fig = Figure(figsize=(width, 1.1 + 0.42 * rows), dpi=100, layout="constrained")
    axes = fig.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0, colors=PALETTE["ink"])
    axes.set_axisbelow(True)
    return fig, axes


def state_finding(axes: Axes, finding: str) -> None:
    """Set the title: one sentence, left-aligned, the message of the chart."""
    axes.set_title(finding, loc="left", fontsize=11, fontweight="bold", color=PALETTE["ink"], pad=10)
