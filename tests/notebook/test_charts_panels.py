"""Small multiples, the ladder's panels and the bars of packages say what the numbers say."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from dockerlab.detection import benchmark
from dockerlab.notebook.charts.ladder import ladder_panels, package_bars
from dockerlab.notebook.charts.panels import Panel, small_multiples, written
from dockerlab.notebook.charts.style import PALETTE


def _texts(figure: Figure, number: int) -> list[str]:
    return [text.get_text() for text in figure.axes[number].texts]


def _colours(figure: Figure, number: int) -> list[bool]:
    from matplotlib.colors import to_hex

    return [to_hex(bar.get_facecolor()) == PALETTE["best"] for bar in figure.axes[number].patches]


def test_each_panel_has_its_own_axis_from_zero_and_stars_the_best() -> None:
    frame = pd.DataFrame({"way": ["a", "b"], "size": [3e6, 250e6], "score": [0.5, 1.0]})
    figure = small_multiples(
        frame,
        [Panel("size", "size", "MB", 1e6), Panel("score", "score", more_is_better=True)],
        "b is larger",
        "way",
    )
    assert figure.get_suptitle() == "b is larger"
    assert _texts(figure, 0) == ["3 MB ★", "250 MB"] and _colours(figure, 0) == [True, False]
    assert _texts(figure, 1) == ["0.50", "1 ★"] and _colours(figure, 1) == [False, True]
    assert all(axes.get_xlim()[0] == 0 for axes in figure.axes[:2])
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1], "the first row stands on top"


def test_what_was_not_measured_is_said_and_equals_have_no_star() -> None:
    frame = pd.DataFrame({"way": ["a", "b", "c"], "seconds": [math.nan, 2.0, 2.0]})
    assert _texts(small_multiples(frame, [Panel("seconds", "time", "s")], "", "way"), 0) == [
        "not measured",
        "2 s",
        "2 s",
    ]
    assert _texts(small_multiples(frame[:1], [Panel("seconds", "time", "s")], "", "way"), 0) == [
        "not measured"
    ]


def test_numbers_have_as_many_digits_as_can_be_read() -> None:
    assert [written(value) for value in (6671.2, 82.4, 2.72, 0.261, 1.0, 0.0)] == [
        "6,671",
        "82",
        "2.7",
        "0.26",
        "1",
        "0",
    ]


def test_the_ladder_states_size_rebuild_and_boxes() -> None:
    rows = [
        ("naive", "full", "t", 6e9, 3e9, 80.0, 80.0, 2.7, 26.0, 28.0, 1.0),
        ("minimal", "small", "t", 1.5e8, 6e7, 60.0, 0.4, 0.5, 13.0, 15.0, 0.995),
    ]
    figure = ladder_panels(pd.DataFrame(rows, columns=benchmark.COLUMNS))
    assert (
        figure.get_suptitle()
        == "minimal against naive: 40 times smaller, rebuilt 200 times faster, the same boxes"
    )
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == 7
    worse = [*rows[:1], (*rows[1][:-1], 0.5)]
    assert "agree to 50%" in ladder_panels(pd.DataFrame(worse, columns=benchmark.COLUMNS)).get_suptitle()


def test_the_lightest_packages_stand_in_one_bar() -> None:
    frame = pd.DataFrame(
        {
            "package": ["torch", "nvidia cudnn", "a", "b"],
            "MB": [900.0, 500.0, 3.0, 2.0],
            "group": ["other", "gpu", "other", "other"],
        }
    )
    axes = package_bars(frame, "a finding", most=2).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["torch", "nvidia cudnn", "2 others"]
    assert [text.get_text() for text in axes.texts] == ["900 MB", "500 MB, for GPUs only", "5 MB"]
    assert axes.get_title(loc="left") == "a finding" and axes.get_xlim()[0] == 0
