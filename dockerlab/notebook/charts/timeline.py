"""Builds as timelines: when each step ran, which ran side by side, and which came from the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dockerlab.images.build_report import BuildReport
from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, state_finding


def build_timeline(report: BuildReport) -> Figure:
    """One build: a bar a step, seconds from its start."""
    return compare_timelines({report.tag or "build": report})


def compare_timelines(reports: Mapping[str, BuildReport], ratio: bool = False) -> Figure:
    """Several builds above one another on the same scale of seconds; with `ratio` the title says how many times faster the quickest was."""
    rows = [max(1, len(report.instructions)) for report in reports.values()]
    fig = Figure(figsize=(WIDTH_IN, 1.0 * len(rows) + 0.36 * sum(rows)), dpi=100, layout="constrained")
    panels = fig.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
    end = max(
        (step.started + step.seconds for report in reports.values() for step in report.instructions),
        default=1.0,
    )
    for axes, (title, report) in zip(panels, reports.items(), strict=True):
        _draw(axes, report, end)
        ran = len(report.ran)
        saved = _overlap(report)
        finding = f"{title}: {ran} of {len(report.instructions)} steps ran" + (
            f", {saved:.1f} s of them side by side" if saved > 0.5 else ""
        )
        state_finding(axes, finding)
    panels[-1].set_xlabel("seconds since the first step began")
    if ratio:
        slow, quick = (pick(reports, key=lambda name: reports[name].seconds) for pick in (max, min))
        times = f"{reports[quick].seconds:.1f} s instead of {reports[slow].seconds:.1f} s"
        finding = f"{quick.capitalize()}: {reports[slow].seconds / reports[quick].seconds:.0f} times faster, {times}"
        fig.suptitle(finding, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=PALETTE["ink"])
        fig.set_figheight(fig.get_figheight() + 0.4)
    return fig


def _draw(axes: Axes, report: BuildReport, end: float) -> None:
    steps = report.instructions
    for row, step in enumerate(steps):
        width = max(
            step.seconds, end * (0.03 if step.cached else 0.004)
        )  # wide enough for the hatch to be seen
        axes.barh(
            row,
            width,
            left=step.started,
            height=0.62,
            color=PALETTE["cached" if step.cached else "run"],
            hatch="////" if step.cached else None,
            edgecolor=PALETTE["ink"] if step.cached else "white",
            linewidth=0.5,
        )
        label = "cached" if step.cached else f"{step.seconds:.1f} s"
        axes.text(
            step.started + width + end * 0.01, row, label, va="center", fontsize=8, color=PALETTE["ink"]
        )
    names = [_short(step.name) for step in steps]
    axes.set_yticks(range(len(steps)), names, fontsize=8, family="monospace")
    axes.invert_yaxis()
    axes.set_xlim(0, end * 1.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)


def _short(name: str) -> str:
    """The place and the beginning of a step; what it mounts is left out, since its command says more."""
    text = " ".join(re.sub(r"--(mount|network|security)=\S+", "", name).split())
    return text if len(text) <= 46 else f"{text[:45]}…"


def _overlap(report: BuildReport) -> float:
    """Seconds by which the steps' times add up to more than the time that passed while any of them ran."""
    spans = sorted(
        (step.started, step.started + step.seconds)
        for step in report.instructions
        if not step.cached and step.seconds > 0
    )
    total, covered, reach = 0.0, 0.0, 0.0
    for begin, finish in spans:
        total += finish - begin
        covered += max(0.0, finish - max(begin, reach))
        reach = max(reach, finish)
    return total - covered
