"""Answers of a service under CPU limits, as points."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from dockerlab.detection.limit_report import UnderLimits
from dockerlab.notebook.charts.style import PALETTE, figure, state_finding


def latency_under_limits(tries: Sequence[UnderLimits]) -> Figure:
    """Median answer in milliseconds against the CPU limit; tries that the kernel ended are crosses above the axis. Axes from zero."""
    fig, axes = figure(rows=7)
    alive, dead = [each for each in tries if each.survived], [each for each in tries if not each.survived]
    axes.plot(
        [each.cpus for each in alive],
        [each.median_ms for each in tries if each.median_ms is not None],  # of those alive
        "o",
        color=PALETTE["run"],
        markersize=8,
    )
    top = max([each.median_ms or 0 for each in tries], default=1) * 1.2 or 1
    ground = top / 20  # clear of the axis and its numbers
    axes.plot([each.cpus for each in dead], [ground for _ in dead], "X", color=PALETTE["bad"], markersize=11)
    for each in alive:
        axes.annotate(
            f"{each.median_ms:.0f} ms, {each.memory_mb} MB",
            (each.cpus, each.median_ms),
            (7, 3),
            textcoords="offset points",
            fontsize=8.5,
        )
    for each in dead:
        axes.annotate(
            f"{'OOM' if each.oom_killed else 'ended'}, {each.memory_mb} MB",
            (each.cpus, ground),
            (9, -3),
            textcoords="offset points",
            fontsize=8.5,
        )
    axes.set_xlim(0, max([each.cpus for each in tries], default=1) * 1.25)
    axes.set_ylim(0, top)
    axes.set_xlabel("CPU limit, CPUs")
    axes.set_ylabel("median answer, ms")
    state_finding(axes, _finding(alive, dead))
    return fig


def _finding(alive: Sequence[UnderLimits], dead: Sequence[UnderLimits]) -> str:
    if dead and not alive:
        return "No try survived its memory limit"
    least, most = min(alive, key=lambda each: each.cpus), max(alive, key=lambda each: each.cpus)
    lost = (
        f"; {len(dead)} of {len(alive) + len(dead)} tries {'was' if len(dead) == 1 else 'were'} killed"
        if dead
        else ""
    )
    if least.cpus == most.cpus:
        return f"At {least.cpus:g} CPU{'' if least.cpus == 1 else 's'} an answer takes {least.median_ms:.0f} ms{lost}"
    assert least.median_ms is not None and most.median_ms is not None  # as they are alive
    return f"At {least.cpus:g} CPUs an answer takes {least.median_ms / most.median_ms:.1f} times as long as at {most.cpus:g}{lost}"
