"""The scorecard's charts say what the scores say, and cut what would not fit."""

from __future__ import annotations

import dataclasses
import math

from matplotlib.figure import Figure

from dockerlab.lessons.lesson12_capstone import charts, scoring
from dockerlab.lessons.lesson12_capstone.scorecard import TITLES, Score, Scorecard


def card(name: str, **values: float) -> Scorecard:
    targets = {"build": 120, "size": 200, "rebuild": 20, "start": 8, "latency": 80}
    scores = []
    for key, (title, unit) in TITLES.items():
        value, target = values.get(key, 0.0), float(targets.get(key, 0))
        scores.append(Score(key, title, value, target, unit, value <= target, ""))
    return Scorecard(name, tuple(scores))


def texts(fig: Figure) -> list[str]:
    return [text.get_text() for axes in fig.axes for text in axes.texts]


def test_progress_has_a_cell_for_every_score_of_every_step() -> None:
    cards = {"one": card("one", size=500, secrets=2, health=math.nan), "two": card("two", size=100)}
    fig = charts.progress(cards)
    assert len(fig.axes[0].patches) == 20
    assert (
        "✗ 500 MB" in texts(fig) and "✓ 100 MB" in texts(fig) and "✗ –" in texts(fig) and "✗ 2" in texts(fig)
    )
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["one\n7 of 10", "two\n10 of 10"]
    assert fig.axes[0].get_title(loc="left") == "From 7 to 10 of 10"
    fig.savefig("/dev/null", format="png")


def test_a_step_alone_is_no_journey() -> None:
    assert charts.progress({"one": card("one")}).axes[0].get_title(loc="left") == "10 of 10 hold"


def test_bars_are_shares_of_the_target_and_cut_at_twice() -> None:
    fig = charts.against(
        card("You", size=900, latency=40, lint=3, user=math.nan), card("The course", size=100)
    )
    bars, squares = fig.axes
    widths = [bar.get_width() for bar in bars.patches]
    assert max(widths) == charts.FAR and 0.5 in widths
    assert any("900 MB … (You)" in text for text in texts(fig))
    assert len(squares.patches) == 3
    assert any("✗ 3 findings (You)" in text for text in texts(fig)) and any(
        "not measured (You)" in text for text in texts(fig)
    )
    assert bars.get_xlim()[0] == 0
    fig.savefig("/dev/null", format="png")


def test_gallery_captions_every_picture() -> None:
    pictures = scoring.samples()
    fig = charts.gallery(pictures, [path.stem for path in pictures])
    assert [axes.get_title() for axes in fig.axes] == [path.stem for path in pictures]


def test_a_score_is_written_with_its_unit() -> None:
    score = card("x", lint=1)["lint"]
    assert score.written == "1 finding"
    assert dataclasses.replace(score, value=2).written == "2 findings"
    assert dataclasses.replace(score, value=math.nan).written == "not measured"
    assert (
        card("x", build=3.14159)["build"].written == "3.1 s"
        and card("x", size=1234.5)["size"].written == "1,234 MB"
    )
    assert card("x", lint=1).failing == ["lint"] and card("x", lint=1).held == 9
