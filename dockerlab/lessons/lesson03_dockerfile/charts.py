"""What instructions leave behind, what a context weighs, and how long a stop takes."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dockerlab.notebook.charts.style import PALETTE, figure, state_finding

# How a size is written on a bar, largest unit first.
_UNITS = ((1e6, "MB"), (1e3, "kB"), (1, "bytes"))


def stop_times(frame: pd.DataFrame, patience: float = 10.0) -> Figure:
    """Seconds from `docker stop` to the end, one bar a way to start; needs the columns of `workbench.stop_all`. From zero.

    `patience` is how long the engine waits before SIGKILL; bars that reach it are the bad ones.
    """
    rows = frame.sort_values("seconds", ascending=False, kind="stable")
    fig, axes = figure(rows=len(rows) + 1)
    killed = rows["exit code"] == 137
    for row, (name, seconds, code, bad) in enumerate(
        zip(rows.index, rows["seconds"], rows["exit code"], killed, strict=True)
    ):
        axes.barh(
            row,
            seconds,
            0.62,
            color=PALETTE["bad" if bad else "best"],
            hatch="//" if bad else None,
            edgecolor="white",
            linewidth=0.6,
        )
        outcome = "killed" if bad else "said goodbye" if rows.loc[name, "said goodbye"] else "ended"
        axes.text(
            seconds + patience * 0.012,
            row,
            f"{seconds:.1f} s, {outcome}, exit code {code}",
            va="center",
            fontsize=8.5,
            color=PALETTE["ink"],
        )
    axes.axvline(patience, color=PALETTE["ink"], linewidth=0.9, linestyle="--", zorder=0)
    axes.text(
        patience,
        -0.72,
        f"SIGKILL after {patience:g} s ",
        ha="right",
        va="center",
        fontsize=8.5,
        color=PALETTE["ink"],
    )
    axes.set_yticks(range(len(rows)), rows.index, fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -1.1)
    axes.set_xlim(0, patience * 1.5)
    axes.set_xlabel("seconds from docker stop to the end of the container")
    state_finding(axes, _stop_finding(rows, int(killed.sum())))
    return fig


def _stop_finding(rows: pd.DataFrame, killed: int) -> str:
    if not killed:
        return f"All {len(rows)} end by themselves; the slowest takes {rows['seconds'].max():.1f} s"
    quick = rows.loc[rows["exit code"] != 137, "seconds"]
    rest = f", the rest end within {quick.max():.1f} s" if len(quick) else ""
    return f"{killed} of {len(rows)} ignore SIGTERM and are killed{rest}"


def context_weight(frame: pd.DataFrame) -> Figure:
    """What stands in a build context, one bar an entry: bytes that are sent, and (hatched) bytes that .dockerignore keeps back.

    Needs the columns of `context_contents.by_top`. Linear axis from zero, MB.
    """
    fig, axes = figure(rows=len(frame))
    widest = float((frame["sent"] + frame["ignored"]).max()) / 1e6 or 1.0
    for row, (sent, ignored) in enumerate(zip(frame["sent"], frame["ignored"], strict=True)):
        axes.barh(row, sent / 1e6, 0.62, color=PALETTE["run"])
        axes.barh(
            row,
            ignored / 1e6,
            0.62,
            left=sent / 1e6,
            color=PALETTE["cached"],
            hatch="////",
            edgecolor=PALETTE["ink"],
            linewidth=0.5,
        )
        label = " + ".join(
            part
            for part in (
                f"{_size(sent)} sent" if sent else "",
                f"{_size(ignored)} kept back" if ignored else "",
            )
            if part
        )
        axes.text(
            (sent + ignored) / 1e6 + widest * 0.01,
            row,
            label or "empty",
            va="center",
            fontsize=8.5,
            color=PALETTE["ink"],
        )
    axes.set_yticks(range(len(frame)), frame["entry"], fontsize=8.5, family="monospace")
    axes.invert_yaxis()
    axes.set_xlim(0, widest * 1.3)
    axes.set_xlabel("size in the context, MB (10⁶ bytes)")
    sent, ignored = int(frame["sent"].sum()), int(frame["ignored"].sum())
    total = f"The context weighs {_size(sent + ignored)}"
    state_finding(
        axes,
        f"{total}; {_size(sent)} of it travel to the engine"
        if ignored
        else f"{total}, and all of it travels to the engine",
    )
    return fig


def instruction_effects(frame: pd.DataFrame) -> Figure:
    """Which instruction adds a layer, which sets the config, which leaves nothing; needs the columns of `config_diff.effects`."""
    fig, axes = figure(rows=round(0.72 * len(frame)) + 1)
    order = frame.assign(
        rank=[
            0 if layer else 1 if keys else 2
            for layer, keys in zip(frame["adds a layer"], frame["config keys"], strict=True)
        ]
    )
    rows = order.sort_values("rank", kind="stable")
    for row, (layer, keys) in enumerate(zip(rows["adds a layer"], rows["config keys"], strict=True)):
        axes.axhline(row, color=PALETTE["faint"], linewidth=0.8, zorder=0)
        if layer:
            _mark(axes, 0, row, "a layer", "run")
        if keys:
            _mark(axes, 1, row, keys, "good")
        if not layer and not keys:
            _mark(axes, 2, row, "history only", "cached")
    axes.set_yticks(range(len(rows)), rows["instruction"], fontsize=9, family="monospace")
    axes.set_xticks([0, 1, 2], ["files", "config", "neither"], fontsize=9)
    axes.xaxis.tick_top()
    axes.set_xlim(-0.25, 2.75)
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.spines[["bottom", "left"]].set_visible(False)
    layers, silent = (
        int(frame["adds a layer"].sum()),
        int(((frame["config keys"] == "") & ~frame["adds a layer"]).sum()),
    )
    config = int((frame["config keys"] != "").sum())
    state_finding(
        axes,
        f"Of {len(frame)} instructions {layers} write files, {config} set the config, {silent} leave{'s' if silent == 1 else ''} neither",
    )
    return fig


def _mark(axes: Axes, column: float, row: int, text: str, colour: str) -> None:
    marker = {"run": "s", "good": "o", "cached": "D"}[colour]
    axes.plot(
        [column],
        [row],
        marker,
        markersize=9,
        color=PALETTE[colour],
        markeredgecolor=PALETTE["ink"],
        markeredgewidth=0.6,
    )
    axes.text(
        column + 0.07,
        row,
        text,
        va="center",
        fontsize=8.5,
        color=PALETTE["ink"],
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


def _size(count: float) -> str:
    """A size with the unit that leaves a number from 1 to 999, as in "16 kB"."""
    unit, name = next((pair for pair in _UNITS if count >= pair[0]), _UNITS[-1])
    value = count / unit
    return f"{value:.1f} {name}" if value < 10 and unit > 1 else f"{value:,.0f} {name}"
