"""Stages as bars: what each of them installs and what of it ships; and how much smaller each form of an image is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from dockerlab.core.units import mb
from dockerlab.images.build_report import BuildReport
from dockerlab.notebook.charts.style import PALETTE, figure, state_finding


def stage_weights(weights: Mapping[str, float], parcels: Mapping[str, float]) -> Figure:
    """One bar a stage, heaviest on top: MB of files in it; the part that a later stage copies is drawn solid. Linear axis from zero."""
    names = sorted(weights, key=lambda name: -weights[name])
    fig, axes = figure(rows=1.35 * len(names))
    widest = max(weights.values()) / 1e6
    for row, name in enumerate(names):
        total, ships = weights[name] / 1e6, parcels.get(name, 0) / 1e6
        axes.barh(
            row, total, 0.58, color=PALETTE["faint"], hatch="////", edgecolor=PALETTE["ink"], linewidth=0.4
        )
        axes.barh(row, max(ships, widest * 0.004), 0.58, color=PALETTE["best"])  # wide enough to be seen
        axes.text(
            total + widest * 0.01,
            row,
            f"{mb(parcels.get(name, 0))} of {mb(weights[name])} ship",
            va="center",
            fontsize=9,
            color=PALETTE["ink"],
        )
    axes.set_yticks(range(len(names)), names, fontsize=9.5, family="monospace")
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.set_xlim(0, widest * 1.35)
    axes.set_xlabel("files in the stage, MB (10⁶ bytes); solid: copied into the image, hatched: stays behind")
    state_finding(axes, f"Of {mb(sum(weights.values()))} in the stages, {mb(sum(parcels.values()))} ship")
    return fig


def stage_lanes(report: BuildReport, last: str = "last stage") -> Figure:
    """One lane a stage, in the order they began: when its steps ran, in seconds from the first step; cached steps are left out.

    Steps that took at least half a second are named. `last` is what to call the stage without a name.
    """
    ran = [step for step in report.instructions if not step.cached]
    lanes: dict[str, list[tuple[float, float, str]]] = {}
    for step in sorted(ran, key=lambda step: step.started):
        name = last if not step.stage or step.stage.startswith("stage-") else step.stage
        lanes.setdefault(name, []).append(
            (step.started, step.seconds, " ".join(step.name.partition("] ")[2].split()[:3]))
        )
    fig, axes = figure(rows=1.5 * max(1, len(lanes)))
    end = max((begun + took for steps in lanes.values() for begun, took, _ in steps), default=1.0)
    for row, steps in enumerate(lanes.values()):
        for begun, took, words in steps:
            axes.barh(
                row,
                max(took, end * 0.004),
                0.5,
                left=begun,
                color=PALETTE["run"],
                edgecolor="white",
                linewidth=0.5,
            )
            if took >= 0.5:
                axes.text(
                    begun,
                    row - 0.36,
                    f"{words} … {took:.1f} s",
                    va="center",
                    fontsize=8.5,
                    color=PALETTE["ink"],
                )
    axes.set_yticks(range(len(lanes)), list(lanes), fontsize=9.5, family="monospace")
    axes.set_ylim(len(lanes) - 0.5, -0.75)
    axes.set_xlim(0, end * 1.15)
    axes.set_xlabel("seconds since the first step began")
    work = sum(took for steps in lanes.values() for _, took, _ in steps)
    state_finding(
        axes,
        f"{work:.1f} s of work are done in {end:.1f} s: stages run side by side"
        if work > end + 0.5
        else f"The stages take {end:.1f} s",
    )
    return fig


def share_saved(
    sizes: Mapping[str, float], promise: tuple[float, float], names: Sequence[str] = ()
) -> Figure:
    """How much smaller than the first of `sizes` (bytes) each other one is, in per cent, beside a promised band. Axis from 0 to 100.

    `names` are the labels of the bars, by default the keys.
    """
    (_, reference), *others = sizes.items()
    labels = list(names) or [name for name, _ in others]
    fig, axes = figure(rows=1.2 * len(others) + 1)
    low, high = promise
    axes.axvspan(low, high, color=PALETTE["cached"], alpha=0.55, zorder=0)
    axes.text(
        (low + high) / 2,
        -0.78,
        f"promised: {low:g}–{high:g} %",
        ha="center",
        va="center",
        fontsize=8.5,
        color=PALETTE["ink"],
    )
    saved = [100 * (1 - size / reference) for _, size in others]
    for row, ((_, size), share) in enumerate(zip(others, saved, strict=True)):
        kind = "best" if share > high else "good" if share >= low else "bad"
        axes.barh(
            row,
            share,
            0.58,
            color=PALETTE[kind],
            hatch="//" if kind == "good" else None,
            edgecolor="white",
            linewidth=0.6,
        )
        axes.text(
            1,
            row,
            f"{share:.0f} % smaller: {mb(size)}",
            va="center",
            fontsize=9,
            color="white",
            fontweight="bold",
            bbox={"facecolor": PALETTE["ink"], "edgecolor": "none", "alpha": 0.75, "pad": 2},
        )
    axes.set_yticks(range(len(others)), labels, fontsize=9)
    axes.set_ylim(len(others) - 0.5, -1.15)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"per cent of the single stage's {mb(reference)} on disk that go away")
    best = max(saved, default=0.0)
    state_finding(
        axes,
        f"The recipe saves {saved[0]:.0f} %, the last form {best:.0f} %: {reference / min(size for _, size in others):.0f} times smaller",
    )
    return fig
