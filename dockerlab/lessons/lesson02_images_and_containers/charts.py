"""The states of a container and the commands that move it between them, drawn from moves that were watched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from dockerlab.lessons.lesson02_images_and_containers.lifecycle import NONE, Move
from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, state_finding

# Where each state stands; the course's own order, so that the picture looks the same in every lesson.
_PLACES = {
    NONE: (0.0, 0.0),
    "created": (2.4, 0.0),
    "running": (4.8, 0.0),
    "exited": (7.6, 0.0),
    "paused": (4.8, 1.9),
}
_BOX = (1.3, 0.62)
_COLOURS = {"running": PALETTE["best"], "paused": PALETTE["good"], NONE: "white"}


def life_cycle(moves: Iterable[Move]) -> Figure:
    """One box a state and one arrow for all commands that lead from one state to another."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        commands = arrows.setdefault((move.before, move.after), [])
        if move.command not in commands:
            commands.append(move.command)
    fig = Figure(figsize=(WIDTH_IN, 3.9), dpi=100, layout="constrained")
    axes = fig.add_subplot()
    for state in {state for pair in arrows for state in pair}:
        _box(axes, state)
    for (before, after), commands in arrows.items():
        _arrow(axes, before, after, commands, back=(after, before) in arrows)
    axes.set_xlim(-0.95, 8.6)
    axes.set_ylim(-2.05, 2.6)
    axes.set_axis_off()
    state_finding(axes, _finding(arrows))
    return fig


def _box(axes: Axes, state: str) -> None:
    x, y = _PLACES[state]
    wide, high = _BOX
    light = state == NONE
    axes.add_patch(
        FancyBboxPatch(
            (x - wide / 2, y - high / 2),
            wide,
            high,
            boxstyle="round,pad=0.02,rounding_size=0.12",
            facecolor=_COLOURS.get(state, PALETTE["run"]),
            edgecolor=PALETTE["ink"],
            linewidth=1.2,
            linestyle="--" if light else "-",
            zorder=3,
        )
    )
    axes.text(
        x,
        y,
        state,
        ha="center",
        va="center",
        fontsize=9.5,
        fontweight="bold",
        color=PALETTE["ink"] if light else "white",
        zorder=4,
    )


def _arrow(axes: Axes, before: str, after: str, commands: list[str], back: bool) -> None:
    (x1, y1), (x2, y2) = _PLACES[before], _PLACES[after]
    wide, high = _BOX[0] / 2 + 0.06, _BOX[1] / 2 + 0.06
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 14,
        "color": PALETTE["ink"],
        "linewidth": 1.3,
        "zorder": 2,
    }
    words = "\n".join(commands)
    if before == after:  # a loop below the box
        axes.add_patch(
            FancyArrowPatch(
                (x1 - 0.35, y1 - high), (x1 + 0.35, y1 - high), connectionstyle="arc3,rad=1.5", **style
            )
        )
        axes.text(x1, y1 - high - 0.62, words, ha="center", va="top", **_LABEL)
    elif y1 != y2:  # up and down beside each other
        side = -0.25 if y2 > y1 else 0.25
        sign = 1 if y2 > y1 else -1
        axes.add_patch(FancyArrowPatch((x1 + side, y1 + sign * high), (x2 + side, y2 - sign * high), **style))
        axes.text(
            x1 + side * 1.5, (y1 + y2) / 2, words, ha="right" if side < 0 else "left", va="center", **_LABEL
        )
    elif abs(x2 - x1) > 3:  # a shortcut over the boxes between, or the way back under them
        sign = 1 if x2 > x1 else -1
        end = x2 - 0.45 if sign > 0 else x2
        axes.add_patch(
            FancyArrowPatch(
                (x1, y1 + sign * high), (end, y2 + sign * high), connectionstyle="arc3,rad=-0.28", **style
            )
        )
        middle = abs(x2 - x1) * 0.14 + high + 0.1  # an arc rises by half of rad times its width
        axes.text(
            (x1 + end) / 2,
            y1 + sign * middle,
            words,
            ha="center",
            va="bottom" if sign > 0 else "top",
            **_LABEL,
        )
    else:
        lift = (0.14 if x2 > x1 else -0.14) if back else 0.0
        sign = 1 if x2 > x1 else -1
        axes.add_patch(FancyArrowPatch((x1 + sign * wide, y1 + lift), (x2 - sign * wide, y2 + lift), **style))
        above = lift >= 0
        axes.text(
            (x1 + x2) / 2,
            y1 + lift + (0.1 if above else -0.1),
            words,
            ha="center",
            va="bottom" if above else "top",
            **_LABEL,
        )


_LABEL: dict[str, Any] = {
    "fontsize": 8.5,
    "color": PALETTE["ink"],
    "family": "monospace",
    "linespacing": 1.25,
}


def _finding(arrows: dict[tuple[str, str], list[str]]) -> str:
    ends = sorted(
        {command for (_, after), commands in arrows.items() if after == NONE for command in commands}
    )
    stops = sorted(
        {
            command
            for (before, after), commands in arrows.items()
            if (before, after) == ("running", "exited")
            for command in commands
        }
    )
    if ends and stops:
        return f"Only {' and '.join(ends)} makes a container go away; after {stops[-1]} it is still there"
    return (
        f"{len({command for commands in arrows.values() for command in commands})} ways to move a container"
    )
