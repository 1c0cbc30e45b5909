"""Which first command names which cause. Pure: DataFrame in, Figure out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, state_finding

STATE = "state"
_FIRST, _ALSO = "●", "○"


def finding(table: pd.DataFrame, order: Sequence[str]) -> str:
    """The chart's title: what the best command finds alone, and what `order` finds together."""
    alone = int(table[order[0]].sum())
    together = int(table[list(order)].any(axis=1).sum())
    if len(order) == 1:
        return f"{order[0]} names {alone} of {len(table)} causes"
    return f"{order[0]} names {alone} of {len(table)} causes, with {' and '.join(order[1:])} {'all ' if together == len(table) else ''}{together}"


def decision_map(table: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Symptom → first command: a row a case, grouped by the state that `docker ps -a` shows; a column a command.

    A mark says that the command's answer names the cause; full and dark where it is the first of `order` to do so.
    """
    others = [column for column in table.columns if column != STATE and column not in order]
    columns = [*order, *sorted(others, key=lambda column: -table[column].sum())]
    rows = table.sort_values(STATE, kind="stable")
    fig = Figure(figsize=(WIDTH_IN, 1.9 + 0.31 * len(rows)), dpi=100, layout="constrained")
    axes = fig.add_subplot()
    for y, (_, row) in enumerate(rows.iterrows()):
        first = next((column for column in order if row[column]), None)
        for x, column in enumerate(columns):
            if row[column]:
                colour = PALETTE["best"] if column == first else PALETTE["cached"]
                axes.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, color=colour))
                axes.text(
                    x,
                    y,
                    _FIRST if column == first else _ALSO,
                    ha="center",
                    va="center",
                    fontsize=11,
                    color="white" if column == first else PALETTE["ink"],
                )
    states = list(rows[STATE])
    for y in range(1, len(states)):
        if states[y] != states[y - 1]:
            axes.axhline(y - 0.5, color=PALETTE["ink"], linewidth=0.6, linestyle=":")
    axes.set_yticks(
        range(len(rows)),
        [f"{state} · {name}" for name, state in zip(rows.index, states, strict=True)],
        fontsize=8.5,
    )
    axes.set_xticks(range(len(columns)), [_wrapped(column) for column in columns], fontsize=8.5)
    axes.xaxis.tick_top()
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=PALETTE["ink"])
    axes.set_xlabel(
        f"{_FIRST} names the cause, ask it first     {_ALSO} names it too     empty: no word of the cause",
        fontsize=8.5,
        color=PALETTE["ink"],
        labelpad=8,
    )
    axes.xaxis.set_label_position("bottom")
    state_finding(axes, finding(table, order))
    return fig


def _wrapped(command: str) -> str:
    """A command's name in two short lines."""
    return command.replace(", ", ",\n") if ", " in command else command.replace(" ", "\n", 1)
