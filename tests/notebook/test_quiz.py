"""Quizzes are fair, guesses have defaults, and both work without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.notebook.guess import beside, guess_box
from dockerlab.notebook.quiz import LETTERS, QUIZ_FOLDER, Option, Question, Quiz

OPTION = '[[question.options]]\ntext = "{text}"\nfeedback = "{feedback}"\n{right}'


def _quiz(folder: Path, *rights: str, feedback: str = "because") -> Quiz:
    text = ""
    for marks in rights:
        text += '[[question]]\ntext = "What then?"\n'
        for number, mark in enumerate(marks):
            text += OPTION.format(
                text=f"option {number}", feedback=feedback, right="right = true\n" if mark == "x" else ""
            )
    (folder / "09.toml").write_text(text)
    return Quiz.load("09", folder)


def _all_questions() -> list[Question]:
    return [
        question for path in sorted(QUIZ_FOLDER.glob("*.toml")) for question in Quiz.load(path.stem).questions
    ]


def _question(right: str, *wrong: str) -> Question:
    return Question(
        "What then?", (Option(right, "because", True), *(Option(text, "because") for text in wrong))
    )


def _longest_right(questions: list[Question]) -> tuple[float, float]:
    """The share of questions whose longest option is right (a tie counts in parts), and what guessing gives."""
    share = chance = 0.0
    for question in questions:
        lengths = [len(option.text) for option in question.options]
        longest = [option for option in question.options if len(option.text) == max(lengths)]
        share += sum(option.right for option in longest) / len(longest)
        chance += 1 / len(question.options)
    return share / len(questions), chance / len(questions)


def _positions(questions: list[Question]) -> list[tuple[str, float, float]]:
    """For each letter, the share of questions in which it is right, and what equal use of all positions gives."""
    rows = []
    for position, letter in enumerate(LETTERS):
        having = [question for question in questions if len(question.options) > position]
        share = sum(question.options[position].right for question in having) / len(questions)
        chance = sum(1 / len(question.options) for question in having) / len(questions)
        rows.append((letter, share, chance))
    return rows


@pytest.mark.parametrize("path", sorted(QUIZ_FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_quiz_of_the_course_is_fair(path: Path) -> None:
    quiz = Quiz.load(path.stem)
    assert len(quiz.questions) >= 3


def test_the_longest_option_is_right_about_as_often_as_chance_has_it() -> None:
    share, chance = _longest_right(_all_questions())
    assert abs(share - chance) <= 0.05, (
        f"longest option right in {share:.1%} of the questions, chance {chance:.1%}"
    )


def test_every_position_holds_the_right_option_about_equally_often() -> None:
    for letter, share, chance in _positions(_all_questions()):
        assert share > 0 and abs(share - chance) <= 0.10, (
            f"{letter} right in {share:.1%}, chance {chance:.1%}"
        )


def test_a_course_with_a_pattern_is_noticed() -> None:
    long_first = [_question("a long one", "short", "brief")] * 4
    assert _longest_right(long_first) == pytest.approx((1.0, 1 / 3))
    shares = [share for _, share, _ in _positions(long_first)]
    chances = [chance for _, _, chance in _positions(long_first)]
    assert shares == [1.0, 0.0, 0.0, 0.0]
    assert chances == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])
    tied = [_question("same", "size", "tiny", "one")]
    assert _longest_right(tied) == pytest.approx((1 / 3, 1 / 4))


def test_answers_work_without_widgets(tmp_path: Path) -> None:
    quiz = _quiz(tmp_path, "x--", "-x-", "--x")
    assert quiz.answer(1, "a") == "Right. because"
    assert quiz.answer(2, " C") == "Not so. because"


@pytest.mark.parametrize(("number", "letter"), [(0, "a"), (4, "a"), (1, "d"), (1, ""), (1, "ab")])
def test_an_answer_that_is_not_there_is_refused(tmp_path: Path, number: int, letter: str) -> None:
    with pytest.raises(CourseError, match="no question"):
        _quiz(tmp_path, "x--", "-x-", "--x").answer(number, letter)


@pytest.mark.parametrize(
    "marks", [("x-", "-x"), ("---", "x--"), ("xx-", "x--"), ("x----", "-x-"), ("x--", "x---", "x--")]
)
def test_an_unfair_quiz_is_refused(tmp_path: Path, marks: tuple[str, ...]) -> None:
    with pytest.raises(CourseError):
        _quiz(tmp_path, *marks)


def test_every_option_needs_feedback(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="no feedback"):
        _quiz(tmp_path, "x--", feedback=" ")
    path = tmp_path / "09.toml"
    path.write_text(path.read_text().replace('feedback = " "', ""))
    with pytest.raises(CourseError, match="not a quiz"):
        Quiz.load("09", tmp_path)
    path.write_text("[[question")
    with pytest.raises(CourseError, match="not a quiz"):
        Quiz.load("09", tmp_path)
    with pytest.raises(CourseError, match="no quiz 77"):
        Quiz.load("77", tmp_path)


def test_the_text_form_shows_questions_and_no_answers(tmp_path: Path) -> None:
    text = repr(_quiz(tmp_path, "x--", "-x--"))
    assert text.splitlines()[:4] == ["1. What then?", "   a) option 0", "   b) option 1", "   c) option 2"]
    assert "because" not in text and "True" not in text


def test_an_answer_opens_to_say_why(tmp_path: Path) -> None:
    quiz = _quiz(tmp_path, "x--", "-x-", feedback="use `a<b>`")
    html = quiz.show()._repr_html_()
    assert html.count("<details>") == 6 and html.count("✓ Right.") == 2 and html.count("✗ Not so.") == 4
    first = html[html.index("<details>") : html.index("</details>")]
    assert "option 0" in first and "✓" in first and "<code>a&lt;b&gt;</code>" in first


@pytest.mark.parametrize(("options", "default"), [(None, 3), (None, 2.5), (["yes", "no"], "no")])
def test_a_guess_has_its_default_and_follows_the_widget(options: list[str] | None, default: object) -> None:
    guess = guess_box("How many?", options=options, default=default)
    assert guess.value == default and type(guess.value) is type(default)
    assert repr(guess) == f"Your guess: How many? (default {default})"
    assert guess._repr_mimebundle_()["text/plain"] == repr(guess)
    guess.widget.value = options[0] if options else 7
    assert guess.value == (options[0] if options else 7)


def test_guess_and_outcome_stand_side_by_side() -> None:
    frame = beside(guess_box("How many?", default=3), 4)
    assert frame.loc["How many?"].to_dict() == {"your guess": 3, "outcome": 4}
