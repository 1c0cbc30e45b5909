"""Every pair is marked, every request is a dot, axes begin at zero."""

from __future__ import annotations

import pandas as pd

from dockerlab.lessons.lesson08_compose.charts import answer_times, reachability

MATRIX = pd.DataFrame([[True, False], [True, True]], index=["a", "b"], columns=["a", "outside"])


def test_a_mark_for_every_pair() -> None:
    axes = reachability(MATRIX, "b gets out", {"a": 8000}).axes[0]
    assert [each.get_text() for each in axes.texts] == ["✓", "✗", "✓", "✓"]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["→ a\n:8000", "→ outside"]
    assert len(axes.patches) == 4


def test_a_dot_for_every_request_and_the_median_in_words() -> None:
    axes = answer_times({"miss": [30.0, 40.0, 50.0], "hit": [4.0, 5.0, 9.0]}, "eight times").axes[0]
    assert [len(each.get_offsets()) for each in axes.collections] == [3, 3]
    assert [each.get_text().strip() for each in axes.texts] == ["median 40 ms", "median 5 ms"]
    assert axes.get_xlim()[0] == 0
