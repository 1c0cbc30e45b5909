"""Guesses and quizzes in the notebook: a widget where there is one, the same without."""

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

from dockerlab.errors import CourseError
from dockerlab.site import ROOT

QUIZ_FOLDER = ROOT / "assets" / "quiz"
LETTERS = "abcd"


class Guess:
    """A guess with a default, so that the notebook runs unattended; `value` is what stands in its widget."""

    def __init__(self, question: str, widget: Any) -> None:
        self.question, self.widget = question, widget

    @property
    def value(self) -> Any:
        """The reader's guess, or the default."""
        return self.widget.value

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.widget._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Your guess: {self.question} (default {self.value})"


def guess_box(question: str, options: Sequence[Any] | None = None, default: Any = None) -> Guess:
    """Ask for a guess: one of `options`, or a number like `default`."""
    style = {"description_width": "initial"}
    layout = widgets.Layout(width="auto", max_width="640px")
    if options is not None:
        return Guess(question, widgets.Dropdown(options=list(options), value=default, description=question, style=style, layout=layout))
    kind = widgets.IntText if isinstance(default, int) else widgets.FloatText
    return Guess(question, kind(value=default, description=question, style=style, layout=layout))


def beside(guess: Guess, outcome: Any) -> pd.DataFrame:
    """The guess and what really happened, in one line."""
    return pd.DataFrame({"question": [guess.question], "your guess": [guess.value], "outcome": [outcome]}).set_index("question")


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
        """Display the questions as radio buttons with feedback; returns the quiz, whose text form is always there."""
        from IPython.display import display

        for number, question in enumerate(self.questions, 1):
            display(self._card(number, question))
        return self

    def _card(self, number: int, question: Question) -> widgets.Widget:
        choice = widgets.RadioButtons(options=[(option.text, index) for index, option in enumerate(question.options)], value=None,
                                      layout=widgets.Layout(width="auto"))
        said = widgets.HTML()

        def chosen(change: dict[str, Any]) -> None:
            option = question.options[change["new"]]
            said.value = f"<b>{'✓ Right.' if option.right else '✗ Not so.'}</b> {_html(option.feedback)}"

        choice.observe(chosen, names="value")
        asked = widgets.HTML(f"<b>{number}.</b> {escape(question.text, quote=False)}")
        return widgets.VBox([asked, choice, said], layout=widgets.Layout(margin="0 0 12px 0"))

    def __repr__(self) -> str:
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines.append(f"{number}. {question.text}")
            lines += [f"   {LETTERS[index]}) {option.text}" for index, option in enumerate(question.options)]
        return "\n".join(lines)


def _html(text: str) -> str:
    """Text as HTML, with `code` between backticks; screen readers speak it when it changes."""
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return f'<span role="status">{code}</span>'
