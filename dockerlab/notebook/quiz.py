"""Guesses and quizzes in the notebook, usable by keyboard and readable without colour.

JupyterLab takes the arrow keys and letters from radio buttons and drop-down lists (they move or delete cells), so a guess among
options is a row of buttons, reached by Tab and pressed by Space, and a quiz is plain HTML that needs no kernel.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT

QUIZ_FOLDER = ROOT / "assets" / "quiz"
LETTERS = "abcd"


_GUESS_STYLE = """<style>
.dockerlab-guess { margin: 2px 0 6px; max-width: 760px; }
.dockerlab-guess > .widget-html { display: none; }
.dockerlab-guess .widget-inline-hbox { flex-wrap: wrap; height: auto; width: auto; margin: 0; gap: 2px 10px; align-items: center; }
.dockerlab-guess .widget-label { white-space: normal; overflow: visible; height: auto; width: auto; max-width: 100%; line-height: 1.4;
  text-align: left; font-weight: 600; align-self: center; }
.dockerlab-guess .widget-inline-hbox input { flex: 0 0 9em; min-width: 0; }
.dockerlab-guess .widget-toggle-buttons { display: flex; flex-wrap: wrap; gap: 6px; overflow: visible; width: auto; }
.dockerlab-guess .widget-toggle-buttons > div { display: flex; flex-wrap: wrap; gap: 6px; }
.dockerlab-guess .widget-toggle-button { width: auto; max-width: 100%; height: auto; min-height: 30px; margin: 0; padding: 4px 12px; line-height: 1.35;
  white-space: normal; text-align: left; border-radius: 4px; box-shadow: none; color: var(--jp-ui-font-color1, inherit);
  background: var(--jp-layout-color2, #eee); border: 1px solid var(--jp-border-color1, #bbb); }
.dockerlab-guess .widget-toggle-button::before { content: "○ "; }
.dockerlab-guess .widget-toggle-button.mod-active { font-weight: 600; border: 2px solid var(--jp-brand-color1, #2f6f9f); padding: 3px 11px; }
.dockerlab-guess .widget-toggle-button.mod-active::before { content: "● "; }
.dockerlab-guess :focus-visible { outline: 3px solid var(--jp-brand-color1, #2f6f9f); outline-offset: 2px; }
</style>"""


class Guess:
    """A guess with a default, so that the notebook runs unattended; `value` is what stands in its widget."""

    def __init__(self, question: str, widget: Any) -> None:
        self.question, self.widget = question, widget
        self._box = widgets.VBox([widgets.HTML(_GUESS_STYLE), widget])
        self._box.add_class("dockerlab-guess")

    @property
    def value(self) -> Any:
        """The reader's guess, or the default."""
        return self.widget.value

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self._box._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Your guess: {self.question} (default {self.value})"


def guess_box(question: str, options: Sequence[Any] | None = None, default: Any = None) -> Guess:
    """Ask for a guess: one of `options`, or a number like `default`."""
    style = {"description_width": "initial"}
    layout = widgets.Layout(width="auto")
    if options is not None:
        choice = widgets.ToggleButtons(options=list(options), value=default, description=question, layout=layout,
                                       style=style | {"button_width": "auto"})
        return Guess(question, choice)
    kind = widgets.IntText if isinstance(default, int) else widgets.FloatText
    return Guess(question, kind(value=default, description=question, style=style, layout=layout))


def beside(guess: Guess, outcome: Any) -> pd.DataFrame:
    """The guess and what really happened, in one line."""
    return pd.DataFrame({"your guess": [guess.value], "outcome": [outcome]}, index=[guess.question])


@dataclass(frozen=True)
class Option:
    """One answer, and what to say to who chose it."""

    text: str
    feedback: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with three or four options, exactly one of them right."""

    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True, repr=False)
class Quiz:
    """The questions of one lesson."""

    name: str
    questions: tuple[Question, ...]

    @classmethod
    def load(cls, name: str, folder: Path = QUIZ_FOLDER) -> Quiz:
        """Read assets/quiz/NAME.toml. Raises CourseError when it is missing or not a fair quiz."""
        path = folder / f"{name}.toml"
        if not path.is_file():
            raise CourseError(f"There is no quiz {name}.", fix=f"Quizzes lie in {folder.name}/ as NN.toml.")
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            questions = tuple(Question(q["text"], tuple(Option(o["text"], o["feedback"], o.get("right", False)) for o in q["options"]))
                              for q in data["question"])
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise CourseError(f"{path.name} is not a quiz.", f"{error!r}.", "Give each option a text and a feedback.") from error
        for number, question in enumerate(questions, 1):
            if not all(option.text.strip() and option.feedback.strip() for option in question.options):
                raise CourseError(f"{path.name}, question {number}: an option has no text or no feedback.")
            if not 3 <= len(question.options) <= 4 or sum(option.right for option in question.options) != 1:
                raise CourseError(f"{path.name}, question {number}: it needs three or four options, one of them right.")
        positions = {[option.right for option in question.options].index(True) for question in questions}
        if len(questions) > 2 and len(positions) == 1:
            raise CourseError(f"{path.name}: the right answer stands in the same place in every question.")
        return cls(name, questions)

    def answer(self, question: int, letter: str) -> str:
        """Check one answer without widgets: `answer(1, "b")`. Raises CourseError for a question or letter that is not there."""
        options = self.questions[question - 1].options if 1 <= question <= len(self.questions) else ()
        option = dict(zip(LETTERS, options, strict=False)).get(letter.strip().lower())
        if option is None:
            raise CourseError(f"There is no question {question} with an option {letter}.", fix="Print the quiz to see them.")
        return ("Right. " if option.right else "Not so. ") + option.feedback

    def show(self) -> Quiz:
        """The quiz itself, which a notebook displays as questions that open their feedback, and a terminal as text."""
        return self

    def _repr_html_(self) -> str:
        cards = "".join(_card(number, question) for number, question in enumerate(self.questions, 1))
        return f'<div class="dockerlab-quiz">{_QUIZ_STYLE}{cards}</div>'

    def __repr__(self) -> str:
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines.append(f"{number}. {question.text}")
            lines += [f"   {LETTERS[index]}) {option.text}" for index, option in enumerate(question.options)]
        return "\n".join(lines)


_QUIZ_STYLE = """<style>
.dockerlab-quiz { max-width: 760px; line-height: 1.45; }
.dockerlab-quiz .question { margin: 0 0 4px; }
.dockerlab-quiz details { margin: 0; padding: 0 8px; border: 1px solid transparent; border-radius: 4px; }
.dockerlab-quiz details[open] { border-color: var(--jp-border-color1, #bbb); }
.dockerlab-quiz summary { cursor: pointer; padding: 2px 0; }
.dockerlab-quiz summary:hover { text-decoration: underline; }
.dockerlab-quiz summary:focus-visible { outline: 3px solid var(--jp-brand-color1, #2f6f9f); outline-offset: 2px; border-radius: 2px; }
.dockerlab-quiz details p { margin: 3px 0 5px 16px; }
</style>"""


def _card(number: int, question: Question) -> str:
    """One question as HTML: each answer opens to say whether it is right, and why."""
    answers = "".join(
        f"<details><summary>{_html(option.text)}</summary>"
        f"<p><b>{'✓ Right.' if option.right else '✗ Not so.'}</b> {_html(option.feedback)}</p></details>"
        for option in question.options
    )
    # The empty paragraph keeps questions apart where JupyterLab leaves styles out: in a notebook that was not run yet.
    return f'<p class="question"><b>{number}. {_html(question.text)}</b></p>{answers}<p></p>'


def _html(text: str) -> str:
    """Text as HTML, with `code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
