"""Guesses and quizzes in the notebook, usable by keyboard and readable without colour.

JupyterLab takes the arrow keys and letters from radio buttons and drop-down lists (they move or delete cells), so a guess among
options is a row of buttons, reached by Tab and pressed by Space, and a quiz is plain HTML that needs no kernel.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT

QUIZ_FOLDER = ROOT / "assets" / "quiz"
LETTERS = "abcd"


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
            questions = tuple(
                Question(
                    q["text"],
                    tuple(Option(o["text"], o["feedback"], o.get("right", False)) for o in q["options"]),
                )
                for q in data["question"]
            )
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise CourseError(
                f"{path.name} is not a quiz.", f"{error!r}.", "Give each option a text and a feedback."
            ) from error
        for number, question in enumerate(questions, 1):
            if not all(option.text.strip() and option.feedback.strip() for option in question.options):
                raise CourseError(f"{path.name}, question {number}: an option has no text or no feedback.")
            if not 3 <= len(question.options) <= 4 or sum(option.right for option in question.options) != 1:
                raise CourseError(
                    f"{path.name}, question {number}: it needs three or four options, one of them right."
                )
        positions = {[option.right for option in question.options].index(True) for question in questions}
        if len(questions) > 2 and len(positions) == 1:
            raise CourseError(f"{path.name}: the right answer stands in the same place in every question.")
        return cls(name, questions)

    def answer(self, question: int, letter: str) -> str:
        """Check one answer without widgets: `answer(1, "b")`. Raises CourseError for a question or letter that is not there."""
        options = self.questions[question - 1].options if 1 <= question <= len(self.questions) else ()
        option = dict(zip(LETTERS, options, strict=False)).get(letter.strip().lower())
        if option is None:
            raise CourseError(
                f"There is no question {question} with an option {letter}.", fix="Print the quiz to see them."
            )
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
