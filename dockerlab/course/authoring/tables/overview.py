"""The table of lessons in README.md, from the opening cell of each: its title, what one does, and how long it takes."""

from __future__ import annotations

import re

from dockerlab.course.authoring.regions import BuildError
from dockerlab.course.authoring.tables.lessons import Lesson

BEGIN, END = "<!-- lessons -->", "<!-- end lessons -->"
HEADER = "| lesson | what you do | minutes |\n|---|---|---|"


def splice(readme: str, lessons: list[Lesson]) -> str:
    """The README with its table made anew; as it was where it has no markers. Raises BuildError where one of the two is missing."""
    if BEGIN not in readme and END not in readme:
        return readme
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BuildError(f"README.md has not both {BEGIN} and {END}.", fix="Put the missing one in.")
    return f"{before}{BEGIN}\n{table(lessons)}\n{END}{after}"


def table(lessons: list[Lesson]) -> str:
    """One row a lesson. Raises BuildError for an opening that does not say what you do and how many minutes it takes."""
    return "\n".join([HEADER, *(_row(lesson) for lesson in lessons)])


def _row(lesson: Lesson) -> str:
    does, needs = _said(lesson, "You will do"), _said(lesson, "You need")
    minutes = re.search(r"(\d+) minutes", needs)
    if not does or not minutes:
        raise BuildError(f"{lesson.stem}: its first cell does not say what you will do, or not how many minutes you need.",
                         fix="Write **You will do**: … and **You need**: … about 40 minutes ….")  # fmt: skip
    return f"| {lesson.number} [{lesson.title}](notebooks/{lesson.stem}.ipynb) | {_clause(does)} | {minutes[1]} |"


def _said(lesson: Lesson, what: str) -> str:
    found = re.search(rf"\*\*{what}\*\*:?\s*(.+)", lesson.opening)
    return found[1].strip() if found else ""


def _clause(text: str) -> str:
    """The first of several things that are set apart by semicolons."""
    return re.split(r";|\.(?=\s|$)", text)[0].strip().replace("|", "\\|")
