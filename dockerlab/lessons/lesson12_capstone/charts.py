"""The capstone's scorecard as charts: ten scores over the steps of the work, and one service beside another. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dockerlab.lessons.lesson12_capstone.scorecard import Score, Scorecard
from dockerlab.notebook.charts.style import PALETTE, WIDTH_IN, figure, state_finding

FAR = 2.0  # a bar that is longer than twice the target is cut there, and says its value


def progress(cards: Mapping[str, Scorecard]) -> Figure:
    """One column a step, one row a score: ✓ or ✗ and the value; what holds is filled. Needs at least one card."""
    names, titles = list(cards), [score.title for score in next(iter(cards.values())).scores]
    fig, axes = figure(rows=len(titles) + 1)
    for column, card in enumerate(cards.values()):
        for row, score in enumerate(card.scores):
            colour = PALETTE["best"] if score.ok else PALETTE["faint"]
            axes.add_patch(
                Rectangle((column - 0.48, row - 0.44), 0.96, 0.88, facecolor=colour, edgecolor="white")
            )
            axes.text(
                column,
                row,
                f"{'✓' if score.ok else '✗'} {_short(score)}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if score.ok else PALETTE["ink"],
                fontweight="bold" if score.ok else "normal",
            )
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.set_xticks(
        range(len(names)),
        [f"{name}\n{card.held} of {len(card.scores)}" for name, card in cards.items()],
        fontsize=8.5,
    )
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(titles)), titles, fontsize=8.5)
    axes.spines[["left", "bottom"]].set_visible(False)
    first, last = cards[names[0]], cards[names[-1]]
    state_finding(
        axes,
        f"From {first.held} to {last.held} of {len(titles)}"
        if len(names) > 1
        else f"{first.held} of {len(titles)} hold",
    )
    return fig


def against(mine: Scorecard, other: Scorecard) -> Figure:
    """Two services against the same targets: bars as shares of the target for what is measured, squares for what is counted."""
    measured = [score for score in mine.scores if score.target > 0]
    counted = [score for score in mine.scores if score.target == 0]
    fig = Figure(
        figsize=(WIDTH_IN, 1.5 + 0.62 * len(measured) + 0.5 * len(counted)), dpi=100, layout="constrained"
    )
    top, bottom = fig.subplots(2, 1, height_ratios=[1.25 * len(measured) + 0.6, len(counted)])
    _bars(top, measured, other, mine.name)
    _squares(bottom, counted, other, mine.name)
    fig.suptitle(
        f"{mine.name}: {mine.held} of {len(mine.scores)} hold. {other.name}: {other.held}",
        x=0.01,
        ha="left",
        fontsize=11,
        fontweight="bold",
        color=PALETTE["ink"],
    )
    return fig


def _bars(axes: Axes, scores: Sequence[Score], other: Scorecard, name: str) -> None:
    for row, score in enumerate(scores):
        for shift, each, who, hatch in ((-0.2, score, name, None), (0.2, other[score.key], other.name, "//")):
            share = 0.0 if math.isnan(each.value) else each.value / each.target
            shown = min(share, FAR)
            colour = PALETTE["download"] if hatch else PALETTE["best" if each.ok else "bad"]
            axes.barh(row + shift, shown, 0.36, color=colour, hatch=hatch, edgecolor="white", linewidth=0.6)
            axes.text(
                shown + 0.015,
                row + shift,
                f"{'✓' if each.ok else '✗'} {each.written}{' …' if share > FAR else ''} ({who})",
                va="center",
                fontsize=8,
                color=PALETTE["ink"],
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
    axes.axvline(1, color=PALETTE["ink"], linewidth=1.2, linestyle="--", zorder=0.5)
    axes.set_yticks(
        range(len(scores)),
        [f"{score.title}\n(at most {score.target:,.0f} {score.unit})" for score in scores],
        fontsize=8.5,
    )
    axes.set_ylim(len(scores) - 0.5, -0.6)
    axes.set_xlim(0, FAR * 1.32)
    axes.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "half of it", "the target", "", "twice"], fontsize=8)
    _plain(axes)


def _squares(axes: Axes, scores: Sequence[Score], other: Scorecard, name: str) -> None:
    """One square a fault; none is what is wanted."""
    for row, score in enumerate(scores):
        for left, each, who in ((0.0, score, name), (6.6, other[score.key], other.name)):
            faults = 0 if math.isnan(each.value) else int(each.value)
            for number in range(min(faults, 4)):
                axes.add_patch(
                    Rectangle(
                        (left + 0.42 * number, row - 0.2),
                        0.32,
                        0.4,
                        facecolor=PALETTE["bad"],
                        edgecolor="white",
                    )
                )
            text = (
                "✓ none"
                if each.ok
                else "✗ not measured"
                if math.isnan(each.value)
                else f"✗ {faults} {each.unit}"
            )
            axes.text(
                left + 0.42 * min(faults, 4),
                row,
                f"{text} ({who})",
                va="center",
                fontsize=8,
                color=PALETTE["ink"],
            )
    axes.set_yticks(range(len(scores)), [score.title for score in scores], fontsize=8.5)
    axes.set_ylim(len(scores) - 0.5, -0.6)
    axes.set_xlim(0, 12)
    axes.set_xticks([])
    _plain(axes)
    axes.spines["bottom"].set_visible(False)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0, colors=PALETTE["ink"])


def _short(score: Score) -> str:
    """What fits into a cell: 24 s, 182 MB, 0, –."""
    if math.isnan(score.value):
        return "–"
    return score.written if score.target > 0 else f"{score.value:.0f}"


def gallery(pictures: Sequence[Path], captions: Sequence[str]) -> Figure:
    """Pictures in a row, each with its caption."""
    fig = Figure(figsize=(WIDTH_IN, 1.9), dpi=100, layout="constrained")
    row = fig.subplots(1, len(pictures), squeeze=False)[0]
    for axes, picture, caption in zip(row, pictures, captions, strict=True):
        axes.imshow(matplotlib.image.imread(picture))
        axes.set_title(caption, fontsize=9.5, color=PALETTE["ink"])
        axes.set_axis_off()
    return fig
