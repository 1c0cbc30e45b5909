"""The charts of lesson 07 say what recorded events and measured tables hold, and nothing in them is cut."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dockerlab.containers.events import Recorder, probes, spans, wait_for_health, wait_for_starts
from dockerlab.containers.stats import Load
from dockerlab.lessons.lesson07_services import charts, charts_health

RECORDED = json.loads(
    (Path(__file__).parents[2] / "data" / "container_events.json").read_text(encoding="utf-8")
)


def _words(fig: Figure) -> list[str]:
    return [text.get_text() for axes in fig.axes for text in axes.texts]


def _fits(fig: Figure) -> bool:
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    texts = [
        text for axes in fig.axes for text in (*axes.texts, axes.title, axes._left_title) if text.get_text()
    ]
    return all(text.get_window_extent(canvas.get_renderer()).x1 <= fig.bbox.x1 + 1 for text in texts)


def test_states_are_read_from_the_engines_own_events() -> None:
    found = spans(RECORDED["health"])
    assert [span.state for span in found] == ["starting", "healthy", "unhealthy", "healthy", "ended"]
    assert all(one.end == two.begin for one, two in zip(found, found[1:], strict=False))
    assert found[1].end - found[1].begin > 0.9  # two probes, a second apart, had to fail


def test_only_probes_of_the_check_count() -> None:
    found = probes(RECORDED["health"], "test -f /ok")
    assert {probe.passed for probe in found} == {True, False}
    # rm and touch, which the recording ran in the container, are no probes
    assert len(found) < sum(event["Action"] == "exec_die" for event in RECORDED["health"])


def test_no_events_are_no_states() -> None:
    assert spans([]) == [] and probes([], "x") == []


def test_the_strip_names_each_state_and_mark() -> None:
    begin = int(RECORDED["health"][0]["timeNano"]) / 1e9
    fig = charts_health.health_strips(
        {"api": RECORDED["health"]}, {"api": "test -f /ok"}, "finding", {"api": [(begin + 3, "broken")]}
    )
    assert {"starting", "healthy", "unhealthy", "broken"} <= set(_words(fig))
    assert fig.axes[0].get_title(loc="left") == "finding" and fig.axes[0].get_xlim()[0] == 0
    assert _fits(fig)


def test_restarts_are_counted_and_their_pauses_grow() -> None:
    lives = charts_health.life_times(RECORDED["restarts"])
    assert len(lives) == 4
    pauses = [after[0] - before[1] for before, after in zip(lives, lives[1:], strict=False)]
    assert pauses == sorted(pauses)
    fig = charts_health.restart_lines({"on-failure:3": RECORDED["restarts"]}, "finding")
    assert "4 runs" in _words(fig) and _fits(fig)


def test_a_stop_says_seconds_code_and_request() -> None:
    stops = pd.DataFrame(
        {"seconds": [4.2, 0.2], "exit code": [137, 0], "request": ["answered", "lost"]},
        index=["shell", "init"],
    )
    fig = charts.stop_bars(stops, "finding")
    assert _words(fig) == ["4.2 s, exit code 137, request answered", "0.2 s, exit code 0, request lost"]
    assert fig.axes[0].get_xlim()[0] == 0 and _fits(fig)


def test_latency_has_a_line_a_column_from_zero() -> None:
    times = pd.DataFrame({"right": [90.0, 25.0], "wrong": [700.0, 200.0]}, index=[0.25, 1])
    fig = charts.latency_by_threads(times, "finding")
    assert {"right", "wrong", "90", "700"} <= set(_words(fig))
    assert fig.axes[0].get_ylim()[0] == 0 and _fits(fig)


def test_usage_shows_both_limits() -> None:
    fig = charts.usage_over_time(
        [Load(5, 80_000_000, 256_000_000), Load(99, 90_000_000, 256_000_000)], 1, "finding", {1: "requests"}
    )
    assert {"limit 100", "limit 256", "requests"} <= set(_words(fig))
    assert all(axes.get_ylim()[0] == 0 for axes in fig.axes) and _fits(fig)


@pytest.mark.engine
def test_the_recorder_sees_a_container_that_is_made_later(client, tiny_image: str) -> None:  # noqa: ANN001
    import uuid

    from dockerlab.containers.container import remove
    from dockerlab.core.polling import wait_until
    from dockerlab.engine import object_labels

    name = f"dockerlab-events-{uuid.uuid4().hex[:8]}"
    recorder = Recorder(client, [name])
    made = client.containers.run(
        tiny_image,
        ["sh", "-c", "exit 1"],
        name=name,
        detach=True,
        labels=object_labels.labels(kind="test"),
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 1},
    )
    try:
        assert wait_for_starts(made, 1, 60)
        assert wait_until(lambda: len(charts_health.life_times(recorder.of(name))) == 2, 60)
        assert wait_for_health(made, "none", 1) == "none"
    finally:
        recorder.stop()
        remove(made)
    assert not recorder._thread.is_alive()
