"""What the charts of lesson 11 draw: a bar a measure, a point a request, a cross a failure."""

from __future__ import annotations

import pandas as pd

from dockerlab.lessons.lesson11_production import charts

FRAME = pd.DataFrame(
    {
        "cpus": [1, 2],
        "workers": [1, 4],
        "per_second": [20.0, 31.0],
        "p95_ms": [400.0, 380.0],
        "memory_mb": [130.0, 500.0],
    }
)


def samples(statuses: list[int], versions: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "started": [0.2 * number for number in range(len(statuses))],
            "seconds": 0.05,
            "status": statuses,
            "version": versions,
            "error": "",
        }
    )


def test_workers_have_three_panels_from_zero_that_write_their_values() -> None:
    fig = charts.workers(FRAME, "four workers cost four times the memory")
    panels = fig.get_axes()
    assert len(panels) == 3 and all(axes.get_xlim()[0] == 0 for axes in panels)
    assert [[bar.get_width() for bar in axes.patches] for axes in panels] == [
        [20, 31],
        [400, 380],
        [130, 500],
    ]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        "1 CPU, 1 worker",
        "2 CPUs, 4 workers",
    ]
    assert {"20", "31"} <= {text.get_text() for text in panels[0].texts}


def test_requests_show_each_request_once_and_say_how_many_failed() -> None:
    fig = charts.requests(
        {
            "naive": samples([200, 503, 0, 200], ["1", "", "", "2"]),
            "careful": samples([200, 200], ["1", "2"]),
        },
        "finding",
    )
    axes = fig.get_axes()[0]
    points = {collection.get_label(): len(collection.get_offsets()) for collection in axes.collections}
    assert points["failed"] == 2 and sum(points.values()) + 0 >= 4
    assert sum(len(collection.get_offsets()) for collection in axes.collections) == 6
    assert [text.get_text() for text in axes.texts] == ["naive: 2 of 4 failed", "careful: none of 2 failed"]
    assert axes.get_title(loc="left") == "finding"


def test_a_run_without_requests_can_be_drawn() -> None:
    assert charts.requests({"none": samples([], [])}, "nothing").get_axes()
