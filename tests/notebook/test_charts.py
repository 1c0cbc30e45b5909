"""The ladder's chart and table say what the numbers say."""

from __future__ import annotations

import pandas as pd

from dockerlab.notebook.charts.ladder import size_ladder


def test_the_title_is_the_finding() -> None:
    frame = pd.DataFrame({"rung": ["small", "large"], "disk_bytes": [2e8, 8e9], "download_bytes": [1e8, 3e9]})
    axes = size_ladder(frame).axes[0]
    assert axes.get_title(loc="left") == "small is 40 times smaller on disk than large"
    assert axes.get_xlim()[0] == 0
    assert "8,000 MB on disk" in {text.get_text() for text in axes.texts}
