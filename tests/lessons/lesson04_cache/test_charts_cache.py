"""The charts of the cache say what the verdicts and numbers say."""

from __future__ import annotations

import pandas as pd

from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.cache_model import Verdict
from dockerlab.lessons.lesson04_cache.charts import install_costs, rerun_matrix
from dockerlab.notebook.charts.timeline import compare_timelines

EDITS = {
    "touch a file": [Verdict("WORKDIR /app", False, "", False), Verdict("COPY $A app", False, "", False)],
    "app code": [
        Verdict("WORKDIR /app", False, "", False),
        Verdict("COPY $A app", True, "a, which it copies, changed", True, "file"),
    ],
}


def test_the_matrix_states_idle_edits_and_names_causes() -> None:
    axes = rerun_matrix(EDITS).axes[0]
    assert axes.get_title(loc="left") == "1 of 2 edits run nothing; “app code” runs 1 of 2 steps"
    assert [text.get_text() for text in axes.texts] == ["cached", "cached", "cached", "file"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["WORKDIR /app", r"COPY \$A app"]


def test_costs_name_the_quickest_and_begin_at_zero() -> None:
    fig = install_costs(
        pd.DataFrame({"way": ["pip", "uv"], "seconds": [12.0, 1.5], "megabytes": [70.0, 0.0]})
    )
    assert fig.get_suptitle() == "uv: 8.0 times faster than pip"
    assert all(axes.get_xlim()[0] == 0 for axes in fig.axes)
    assert "0.0 MB" in {text.get_text() for text in fig.axes[1].texts}


def test_two_builds_on_one_scale_with_the_ratio() -> None:
    def report(seconds: float) -> BuildReport:
        return BuildReport("sha256:0", None, [Step("[2/2] RUN a", seconds=seconds, done=True)], seconds)

    fig = compare_timelines({"bad order": report(12.0), "good order": report(0.5)}, ratio=True)
    assert fig.get_suptitle() == "Good order: 24 times faster, 0.5 s instead of 12.0 s"
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()


def test_a_long_step_is_named_by_its_command_not_by_its_mounts() -> None:
    name = "[stage-0 3/3] RUN --mount=type=cache,id=a,target=/b     --mount=type=bind,source=r,target=r     pip install -r r"
    step = Step(name, seconds=1.0, done=True)
    fig = compare_timelines({"one": BuildReport("sha256:0", None, [step], 1.0)})
    assert fig.axes[0].get_yticklabels()[0].get_text() == "[stage-0 3/3] RUN pip install -r r"
