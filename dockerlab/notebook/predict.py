"""Predict which steps of a build will run: checkboxes with a printed form, and the marks beside what happened."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets
import pandas as pd

from dockerlab.core.errors import CourseError
from dockerlab.images.cache_model import Verdict
from dockerlab.notebook.guess import Guess

COLUMNS = ["step", "your tick", "outcome", "right", "why"]


class Ticks(Guess):
    """One checkbox a step; `value` is the tuple of the steps that are ticked."""

    def __init__(self, question: str, steps: Sequence[str], ticked: Sequence[str]) -> None:
        wide = widgets.Layout(width="auto")
        self.boxes = [
            widgets.Checkbox(value=step in ticked, description=step, indent=False, layout=wide)
            for step in steps
        ]
        super().__init__(
            question, widgets.VBox([widgets.HTML(f"<b>{question}</b>: tick what will run"), *self.boxes])
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """All steps, in the order of the Dockerfile."""
        return tuple(box.description for box in self.boxes)

    @property
    def value(self) -> tuple[str, ...]:
        """The steps that the reader expects to run."""
        return tuple(box.description for box in self.boxes if box.value)

    def __repr__(self) -> str:
        return f"Your guess: {self.question} (runs: {', '.join(self.value) or 'nothing'})"


def tick_steps(question: str, steps: Sequence[str], default: Sequence[str] = ()) -> Ticks:
    """Ask which of `steps` will run; `default` names those ticked at first by how they begin. Raises CourseError for a name that fits none."""
    for start in default:
        if not any(step.startswith(start) for step in steps):
            raise CourseError(f"No step begins with {start!r}.", fix=f"Steps: {'; '.join(steps)}.")
    return Ticks(
        question, steps, [step for step in steps if step.startswith(tuple(default))] if default else []
    )


def marked(ticks: Ticks, verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """The ticks beside the outcome, one row a step: right or wrong, and why the step ran or did not."""
    expected = set(ticks.value)
    rows = [
        (
            each.instruction,
            _word(each.instruction in expected),
            _word(each.ran),
            "✓" if (each.instruction in expected) == each.ran else "✗",
            each.why,
        )
        for each in verdicts
    ]
    return pd.DataFrame(rows, columns=COLUMNS).set_index("step")


def score(tables: Sequence[pd.DataFrame]) -> str:
    """How many ticks were right in all."""
    marks = pd.concat(tables)["right"]
    return f"{(marks == '✓').sum()} of {len(marks)} steps rightly foreseen"


def _word(runs: bool) -> str:
    return "runs" if runs else "cached"
