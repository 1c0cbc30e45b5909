"""A lab's promises and hints, read from criteria.toml beside its source and bound to what measures them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from dockerlab.core.errors import CourseError
from dockerlab.course import workspace
from dockerlab.course.grading.judging import Criterion, Outcome, Submission

FILE = workspace.CRITERIA
_FIGURE = re.compile(r"\{\{(\w+)(:[^}]+)?\}\}")


def read(
    lab: str, measures: Mapping[str, Callable[[Submission], Outcome]], **figures: object
) -> tuple[Criterion, ...]:
    """The criteria of lab `05` in the order of its criteria.toml, each with the function that `measures` has for its key.

    `{{NAME}}` in a text, or `{{NAME:.1f}}`, is the figure of that name. Raises CourseError where keys, figures or fields do not fit.
    """
    path = workspace.find(lab) / FILE
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["criterion"]
    keys = [entry.get("key") for entry in entries]
    if keys != list(measures):
        raise CourseError(f"{path} has the keys {keys}, and lab.py measures {list(measures)}.")
    used: set[str] = set()

    def told(text: str) -> str:
        def figure(match: re.Match[str]) -> str:
            used.add(match[1])
            return format(figures[match[1]], (match[2] or ":")[1:])

        return _FIGURE.sub(figure, text)

    try:
        found = tuple(
            Criterion(
                measure=measures[entry["key"]],
                needs=tuple(entry.pop("needs", ())),
                **{field: told(text) for field, text in entry.items()},
            )
            for entry in entries
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CourseError(f"{path} does not fit lab.py: {type(error).__name__} {error}.") from error
    if unused := figures.keys() - used:
        raise CourseError(f"{path} names no figure {', '.join(sorted(unused))}.")
    return found
