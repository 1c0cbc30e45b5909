"""Ticks have a printed form and a default, and are marked step by step against what happened."""

from __future__ import annotations

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.images.cache_model import Verdict
from dockerlab.notebook.predict import marked, score, tick_steps

STEPS = ["WORKDIR /app", "COPY app app", "RUN compile"]
HAPPENED = [
    Verdict("WORKDIR /app", False, "same", False),
    Verdict("COPY app app", True, "app/a, which it copies, changed", True),
    Verdict("RUN compile", True, "an earlier step ran: COPY app app", True),
]


def test_the_printed_form_names_what_is_ticked() -> None:
    assert repr(tick_steps("an edit", STEPS)) == "Your guess: an edit (runs: nothing)"
    ticks = tick_steps("an edit", STEPS, default=["COPY"])
    assert repr(ticks) == "Your guess: an edit (runs: COPY app app)"
    assert ticks._repr_mimebundle_()["text/plain"] == repr(ticks)
    assert ticks.steps == tuple(STEPS)


def test_each_step_is_marked_and_another_guess_gives_another_line() -> None:
    ticks = tick_steps("an edit", STEPS, default=["COPY"])
    table = marked(ticks, HAPPENED)
    assert list(table["right"]) == ["✓", "✓", "✗"]
    assert list(table["outcome"]) == ["cached", "runs", "runs"] and table["why"].iloc[1].startswith("app/a")
    ticks.boxes[2].value = True
    assert list(marked(ticks, HAPPENED)["right"]) == ["✓", "✓", "✓"]
    ticks.boxes[0].value = True
    assert list(marked(ticks, HAPPENED)["right"]) == ["✗", "✓", "✓"]


def test_the_score_counts_all_tables() -> None:
    none, all_of_it = tick_steps("a", STEPS), tick_steps("b", STEPS, default=STEPS)
    assert score([marked(none, HAPPENED), marked(all_of_it, HAPPENED)]) == "3 of 6 steps rightly foreseen"


def test_a_default_that_fits_no_step_is_refused() -> None:
    with pytest.raises(CourseError, match="No step begins with 'ADD'"):
        tick_steps("an edit", STEPS, default=["ADD"])
