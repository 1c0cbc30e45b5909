"""The charts of lesson 03 say what their numbers say."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from dockerlab.lessons.lesson03_dockerfile.charts import context_weight, instruction_effects, stop_times


def _texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.axes[0].texts)


def _title(figure: Figure) -> str:
    return figure.axes[0].get_title(loc="left")


def _stops(*rows: tuple[str, float, int, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["form", "seconds", "exit code", "said goodbye"]).set_index("form")


def test_stops_name_the_killed_and_the_slowest_of_the_rest() -> None:
    figure = stop_times(
        _stops(("exec", 0.9, 0, True), ("shell", 10.2, 137, False), ("init", 0.3, 143, False))
    )
    assert _title(figure) == "1 of 3 ignore SIGTERM and are killed, the rest end within 0.9 s"
    assert "10.2 s, killed, exit code 137" in _texts(figure)
    assert "0.9 s, said goodbye, exit code 0" in _texts(figure)
    assert figure.axes[0].get_xlim()[0] == 0
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["shell", "exec", "init"]


def test_stops_of_a_tidy_fleet_and_of_a_deaf_one() -> None:
    assert (
        _title(stop_times(_stops(("a", 0.4, 0, True), ("b", 0.6, 0, True))))
        == "All 2 end by themselves; the slowest takes 0.6 s"
    )
    assert _title(stop_times(_stops(("a", 10.1, 137, False)))) == "1 of 1 ignore SIGTERM and are killed"


def test_a_context_before_and_after() -> None:
    before = pd.DataFrame(
        [("venv/", 9_000_000, 0), ("app/", 16_000, 0), (".env", 19, 0)], columns=["entry", "sent", "ignored"]
    )
    after = pd.DataFrame(
        [("venv/", 0, 9_000_000), ("app/", 12_000, 4_000), (".env", 0, 19)],
        columns=["entry", "sent", "ignored"],
    )
    assert _title(context_weight(before)) == "The context weighs 9.0 MB, and all of it travels to the engine"
    figure = context_weight(after)
    assert _title(figure) == "The context weighs 9.0 MB; 12 kB of it travel to the engine"
    assert "12 kB sent + 4.0 kB kept back" in _texts(figure)
    assert "19 bytes kept back" in _texts(figure)
    assert figure.axes[0].get_xlim()[0] == 0


def test_an_empty_context_can_be_drawn() -> None:
    frame = pd.DataFrame([("Dockerfile", 0, 0)], columns=["entry", "sent", "ignored"])
    assert "empty" in _texts(context_weight(frame))


def test_instructions_are_counted_by_what_they_leave() -> None:
    frame = pd.DataFrame(
        [("ARG", False, ""), ("WORKDIR", True, "WorkingDir"), ("ENV", False, "Env"), ("COPY", True, "")],
        columns=["instruction", "adds a layer", "config keys"],
    )
    figure = instruction_effects(frame)
    assert _title(figure) == "Of 4 instructions 2 write files, 2 set the config, 1 leaves neither"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "WORKDIR",
        "COPY",
        "ENV",
        "ARG",
    ]
    assert _texts(figure).count("a layer") == 2
    assert "history only" in _texts(figure)
