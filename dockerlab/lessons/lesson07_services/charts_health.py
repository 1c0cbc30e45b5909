"""Containers over time, from the engine's own events: health as a strip, restarts as a line. Pure: events in, Figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dockerlab.containers.events import Event, probes, seconds, spans
from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, state_finding

# Words in the band carry the meaning; colour and hatch only repeat it.
_LOOKS = {
    "starting": (PALETTE["good"], "//"),
    "healthy": (PALETTE["best"], None),
    "unhealthy": (PALETTE["bad"], "xx"),
    "running": (PALETTE["run"], None),
    "ended": (PALETTE["faint"], ".."),
}


def health_strips(
    strips: Mapping[str, Sequence[Event]],
    check: Mapping[str, str],
    finding: str,
    marks: Mapping[str, Sequence[tuple[float, str]]] | None = None,
    until: float | None = None,
) -> Figure:
    """One strip a container: the state as a band, each probe below it as a tick or a cross, what the reader did as a line.

    `check` names a part of each container's check command; `marks` are times in seconds since 1970 with a word.
    """
    fig = Figure(figsize=(WIDTH_IN, 0.9 + 1.25 * len(strips)), dpi=100, layout="constrained")
    panels = fig.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, events) in zip(panels, strips.items(), strict=True):
        _strip(axes, name, events, check[name], until)
        zero = seconds(events[0])
        for at, word in (marks or {}).get(name, ()):
            axes.plot([at - zero] * 2, [-0.75, 0.82], color=PALETTE["ink"], linewidth=1.2)
            axes.text(at - zero, 0.88, word, ha="center", va="bottom", fontsize=8.5, color=PALETTE["ink"])
    panels[-1].set_xlabel("seconds since the container was made   (✓ a probe passed, × it failed)")
    state_finding(panels[0], finding)
    return fig


def _strip(axes: Axes, name: str, events: Sequence[Event], check: str, until: float | None) -> None:
    found = spans(events, until)
    end = max((span.end for span in found), default=1.0)
    for span in found:
        colour, hatch = _LOOKS.get(span.state, (PALETTE["faint"], None))
        axes.barh(
            0.3,
            span.end - span.begin,
            left=span.begin,
            height=0.7,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.8,
        )
        if span.end - span.begin > end * 0.06:
            axes.text(
                (span.begin + span.end) / 2,
                0.3,
                span.state,
                ha="center",
                va="center",
                fontsize=9,
                fontweight="bold",
                color="white",
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
            )
    for probe in probes(events, check):
        axes.plot(
            probe.at,
            -0.48,
            marker="$✓$" if probe.passed else "x",
            markersize=7,
            color=PALETTE["best" if probe.passed else "bad"],
            markeredgewidth=0.6 if probe.passed else 2,
        )
    axes.set_ylim(-0.85, 1.25)
    axes.set_yticks([0.3], [name], fontsize=9)
    axes.set_xlim(0, end * 1.01)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, colors=PALETTE["ink"])


def restart_lines(runs: Mapping[str, Sequence[Event]], finding: str) -> Figure:
    """One row a container: a bar for each run of its process, the pause before the next one written between them."""
    fig = Figure(figsize=(WIDTH_IN, 1.3 + 0.75 * len(runs)), dpi=100, layout="constrained")
    axes = fig.add_subplot()
    for row, events in enumerate(runs.values()):
        lives = life_times(events)
        least = 0.06 * max(
            end for each in runs.values() for _, end in life_times(each)
        )  # a pause that has room for its seconds
        for number, (begin, end) in enumerate(lives):
            axes.barh(
                row,
                max(end - begin, 0.03),
                left=begin,
                height=0.42,
                color=PALETTE["run"],
                edgecolor="white",
                linewidth=0.4,
            )
            if number + 1 < len(lives) and lives[number + 1][0] - end > least:
                axes.text(
                    (end + lives[number + 1][0]) / 2,
                    row,
                    f"{lives[number + 1][0] - end:.1f} s",
                    ha="center",
                    va="center",
                    fontsize=8.5,
                )
        if lives:
            axes.text(
                lives[-1][1],
                row - 0.3,
                f"{len(lives)} runs",
                ha="right",
                va="bottom",
                fontsize=8.5,
                color=PALETTE["ink"],
            )
    axes.set_yticks(range(len(runs)), list(runs), fontsize=9)
    axes.set_ylim(len(runs) - 0.5, -0.7)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds since the first start; a bar is one run of the process")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, colors=PALETTE["ink"])
    state_finding(axes, finding)
    return fig


def life_times(events: Sequence[Event]) -> list[tuple[float, float]]:
    """When each run of a container's process began and ended, in seconds since the first start. Pure."""
    found: list[tuple[float, float]] = []
    zero = next((seconds(event) for event in events if event["Action"] == "start"), 0.0)
    begin: float | None = None
    for event in events:
        if event["Action"] == "start":
            begin = seconds(event) - zero
        elif event["Action"] == "die" and begin is not None:
            found.append((begin, seconds(event) - zero))
            begin = None
    return found
