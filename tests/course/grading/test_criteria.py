"""criteria.toml and what measures its keys: bound to each other, or refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.course import grading, workspace
from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Outcome

TEXT = """
[[criterion]]
key = "size"
promise = "At most {{BUDGET:.1f}} MB"
why = "`docker ps --format '{{.ID}}'` stays as it is."
hint = "h"
second_hint = "s"
wanted = "{{BUDGET:.0f}} MB"

[[criterion]]
key = "user"
promise = "p"
why = "w"
hint = "h"
second_hint = "s"
wanted = "x"
needs = ["size"]
"""


def held(_: object) -> Outcome:
    return Outcome(True, "")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / criteria.FILE
    file.write_text(TEXT)
    monkeypatch.setattr(workspace, "find", lambda lab: tmp_path)
    return file


def test_texts_get_their_figures_and_keys_their_measures(lab: Path) -> None:
    size, user = criteria.read("05", {"size": held, "user": held}, BUDGET=1.26)
    assert (size.promise, size.wanted, size.needs, size.measure) == ("At most 1.3 MB", "1 MB", (), held)
    assert size.why == "`docker ps --format '{{.ID}}'` stays as it is."
    assert user.needs == ("size",)


@pytest.mark.parametrize(
    ("keys", "figures", "says"),
    [
        (("size",), {"BUDGET": 1}, "has the keys"),
        (("user", "size"), {"BUDGET": 1}, "has the keys"),
        (("size", "user"), {}, "KeyError 'BUDGET'"),
        (("size", "user"), {"BUDGET": 1, "OTHER": 2}, "names no figure OTHER"),
        (("size", "user"), {"BUDGET": "words"}, "ValueError"),
    ],
)
def test_what_does_not_fit_is_refused(
    lab: Path, keys: tuple[str, ...], figures: dict[str, object], says: str
) -> None:
    with pytest.raises(CourseError, match=says):
        criteria.read("05", dict.fromkeys(keys, held), **figures)


def test_a_field_too_few_is_refused(lab: Path) -> None:
    lab.write_text(TEXT.replace('wanted = "x"\n', ""))
    with pytest.raises(CourseError, match="does not fit lab.py: TypeError"):
        criteria.read("05", {"size": held, "user": held}, BUDGET=1)


@pytest.mark.parametrize("number", grading.known())
def test_a_criterion_waits_only_for_one_above_it(number: str) -> None:
    keys: set[str] = set()
    for each in grading.load(number).criteria:
        assert set(each.needs) <= keys, each.key
        keys.add(each.key)


def test_neither_starter_nor_solution_holds_the_hints() -> None:
    solved, starter = workspace.derived_files(workspace.find("05"))
    assert criteria.FILE not in solved and criteria.FILE not in starter
