"""What a container is, drawn: how long things take to start, and what stands on what. Pure: nothing here asks an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, figure, state_finding


def start_times(measured: Mapping[str, Sequence[float]], cited: Mapping[str, float], finding: str) -> Figure:
    """Seconds to start: the median of what was measured (a dot each start), and hatched what others report. Logarithmic axis."""
    rows = [(name, sorted(values)[len(values) // 2], list(values)) for name, values in measured.items()]
    rows += [(name, value, []) for name, value in cited.items()]
    fig, axes = figure(rows=len(rows))
    least = min(value for _, value, every in rows for value in [value, *every])
    left = 10.0 ** (len(str(int(1 / least))) * -1) if least < 1 else 0.1
    for row, (_, value, every) in enumerate(rows):
        colour, hatch = (PALETTE["run"], None) if every else (PALETTE["cached"], "////")
        axes.barh(
            row,
            value - left,
            0.6,
            left=left,
            color=colour,
            hatch=hatch,
            edgecolor="white" if every else PALETTE["ink"],
            linewidth=0.5,
        )
        axes.scatter(
            every,
            [row] * len(every),
            s=14,
            color=PALETTE["good"],
            edgecolor=PALETTE["ink"],
            linewidth=0.5,
            zorder=3,
        )
        axes.text(
            max([value, *every]) * 1.25,
            row,
            f"{_seconds(value)}{'' if every else ', cited'}",
            va="center",
            fontsize=9,
            color=PALETTE["ink"],
        )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left, max(value for _, value, _ in rows) * 12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms")
    axes.minorticks_off()
    axes.set_xlabel("time to start, logarithmic axis; a dot is one start")
    state_finding(axes, finding)
    return fig


def _seconds(value: float) -> str:
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


@dataclass(frozen=True)
class _Block:
    """A rectangle of a stack, in a column 10 wide; `kind` chooses its look."""

    text: str
    x: float
    y: float
    wide: float
    high: float = 1.0
    kind: str = "plain"


_LOOKS = {
    # kind: fill, text, hatch
    "hardware": (PALETTE["faint"], PALETTE["ink"], None),
    "kernel": (PALETTE["ink"], "white", None),
    "guest": ("#5b6b78", "white", None),
    "libraries": (PALETTE["download"], PALETTE["ink"], None),
    "program": (PALETTE["run"], "white", None),
    "engine": ("white", PALETTE["ink"], None),
    "wrong": ("#f3e3e5", PALETTE["bad"], "///"),
}


def _copies(
    bottom: float, layers: Sequence[tuple[str, str]], columns: Sequence[tuple[float, float]]
) -> list[_Block]:
    """The same blocks on top of one another, once for each (x, width)."""
    return [
        _Block(text, x, bottom + 1.12 * level, wide, kind=kind)
        for x, wide in columns
        for level, (text, kind) in enumerate(layers)
    ]


_TWO = ((0.0, 4.85), (5.15, 4.85))
_CONTENT = (("libraries", "libraries"), ("program", "program"))
_COLUMNS: tuple[tuple[str, str, tuple[_Block, ...]], ...] = (
    (
        "Virtual machines",
        "each boots a kernel of its own",
        (
            _Block("hardware", 0, 0, 10, kind="hardware"),
            _Block("kernel with hypervisor", 0, 1.12, 10, kind="kernel"),
            *_copies(2.24, (("guest kernel", "guest"), *_CONTENT), _TWO),
        ),
    ),
    (
        "Containers, as often drawn",
        "there is no layer between",
        (
            _Block("hardware", 0, 0, 10, kind="hardware"),
            _Block("kernel", 0, 1.12, 10, kind="kernel"),
            _Block("container runtime ✗", 0, 2.24, 10, kind="wrong"),
            *_copies(3.36, _CONTENT, _TWO),
        ),
    ),
    (
        "Containers, as they run",
        "processes on the machine's one kernel",
        (
            _Block("hardware", 0, 0, 10, kind="hardware"),
            _Block("kernel: namespaces, cgroups", 0, 1.12, 10, kind="kernel"),
            *_copies(2.24, _CONTENT, ((0.0, 3.15), (3.4, 3.15))),
            _Block("engine:\nstarts and\nwatches", 6.8, 2.24, 3.2, 2.12, kind="engine"),
        ),
    ),
)


def stacks() -> Figure:
    """Virtual machines and containers as stacks, with the picture of containers that misleads between them. Not to scale."""
    fig = Figure(figsize=(WIDTH_IN, 3.9), dpi=100, layout="constrained")
    fig.suptitle(
        "A virtual machine boots a kernel; a container is a process on the kernel that runs already",
        x=0.01,
        ha="left",
        fontsize=11,
        fontweight="bold",
        color=PALETTE["ink"],
    )
    for axes, (title, below, blocks) in zip(fig.subplots(1, 3), _COLUMNS, strict=True):
        axes.set_title(title, fontsize=10, color=PALETTE["ink"], pad=6)
        _draw(axes, blocks)
        axes.text(5, -0.45, below, ha="center", va="top", fontsize=8.5, color=PALETTE["ink"])
        axes.set_xlim(-0.2, 10.2)
        axes.set_ylim(-1.2, 5.9)
        axes.set_axis_off()
    return fig


def _draw(axes: Axes, blocks: Sequence[_Block]) -> None:
    for block in blocks:
        fill, ink, hatch = _LOOKS[block.kind]
        axes.add_patch(
            FancyBboxPatch(
                (block.x + 0.06, block.y + 0.06),
                block.wide - 0.12,
                block.high - 0.12,
                boxstyle="round,pad=0.04",
                facecolor=fill,
                edgecolor=PALETTE["bad"] if block.kind == "wrong" else PALETTE["ink"],
                linewidth=0.8,
                hatch=hatch,
            )
        )
        # Text over a hatch needs a ground of its own.
        ground = {"facecolor": fill, "edgecolor": "none", "pad": 1.5} if hatch else None
        axes.text(
            block.x + block.wide / 2,
            block.y + block.high / 2,
            block.text,
            ha="center",
            va="center",
            fontsize=8,
            color=ink,
            bbox=ground,
        )
