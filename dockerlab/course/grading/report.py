"""What a check found, as text, as a table in the notebook, and in the learner's progress file. Pure but for that file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any

from dockerlab.core.errors import CourseError
from dockerlab.core.markup import with_code
from dockerlab.core.settings import state_folder
from dockerlab.engine import connection


class Status(Enum):
    """What became of one criterion."""

    PASSED = "holds"
    FAILED = "does not hold"
    NOT_STARTED = "not started"
    NOT_CHECKED = "not checked"

    @property
    def mark(self) -> str:
        """One character that needs no colour."""
        return {"holds": "✓", "does not hold": "✗"}.get(self.value, "·")


@dataclass(frozen=True)
class Result:
    """One criterion with what was measured."""

    key: str
    promise: str
    why: str
    wanted: str
    measured: str
    status: Status
    hint: str
    second_hint: str


class Text(str):
    """A text that a notebook prints as it is."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, repr=False)
class Report:
    """The results of one check; `problem` is set when the submission could not even be prepared."""

    number: str
    name: str
    results: tuple[Result, ...]
    problem: str = ""
    counted: bool = False  # whether hints that are read go into the progress file

    @property
    def passed(self) -> bool:
        """Whether every criterion holds."""
        return bool(self.results) and all(item.status is Status.PASSED for item in self.results)

    @property
    def started(self) -> bool:
        """Whether there was anything to judge."""
        return bool(self.problem) or any(item.status is not Status.NOT_STARTED for item in self.results)

    @property
    def held(self) -> int:
        """How many criteria hold."""
        return sum(item.status is Status.PASSED for item in self.results)

    @property
    def first_failure(self) -> Result | None:
        """The criterion to look at now; None when all hold or nothing could be judged."""
        order = (Status.FAILED, Status.NOT_STARTED)
        return next((item for status in order for item in self.results if item.status is status), None)

    def hints(self, number: int | None = None) -> Text:
        """Both hints for criterion `number` (from 1), by default for the first failure. Raises CourseError for a wrong number."""
        if number is not None and not 1 <= number <= len(self.results):
            raise CourseError(f"There is no criterion {number}.", fix=f"Use 1 to {len(self.results)}.")
        item = self.first_failure if number is None else self.results[number - 1]
        if item and self.counted:
            with suppress(CourseError):  # a hint must not be lost with its count
                count_hints(self.number, item.key, 2)
        return Text(f"{item.promise}\n  {item.hint}\n  {item.second_hint}" if item else "Nothing needs a hint.")

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        lines = [self._title()]
        lines += [f"  {self.problem}"] if self.problem else []
        for number, item in enumerate(self.results, start=1):
            lines.append(f"{item.status.mark} {number}. {item.promise}")
            if item.status in (Status.PASSED, Status.FAILED):
                lines.append(f"     wanted: {item.wanted}   measured: {item.measured}")
            else:
                lines.append(f"     {item.status.value}{f' ({item.measured})' if item.measured else ''}")
        hint = self._hint()
        return "\n".join(lines + ([f"Hint: {hint}"] if hint else []))

    def _repr_html_(self) -> str:
        rows = []
        for number, item in enumerate(self.results, start=1):
            measured = item.measured if item.status in (Status.PASSED, Status.FAILED) else item.status.value
            cells = (f"{number}", item.status.mark, item.promise, item.wanted, measured)
            rows.append("<tr>" + "".join(f'<td style="text-align:left">{with_code(cell)}</td>' for cell in cells) + "</tr>")
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in ("", "", "promise", "wanted", "measured"))
        problem = f"<p>{escape(self.problem)}</p>" if self.problem else ""
        hint = self._hint()
        return (
            f"<p><b>{escape(self._title())}</b></p>{problem}<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
            + (f"<p><b>Hint:</b> {with_code(hint)}</p>" if hint else "")
        )

    def _title(self) -> str:
        title = f"Lab {self.number}, {self.name}: "
        if not self.started:
            return title + "not started"
        return title + (f"all {len(self.results)} hold" if self.passed else f"{self.held} of {len(self.results)} hold")

    def _hint(self) -> str:
        return self.first_failure.hint if self.first_failure and not self.problem else ""


def state_file() -> Path:
    """progress.json in the folder for the course's state; progress-NAME.json for a learner who shares the login with others."""
    return state_folder() / (f"progress-{connection.owner()}.json" if connection.shares_a_login() else "progress.json")


def load_progress() -> dict[str, dict[str, Any]]:
    """What was checked so far, by lab number; an unreadable file counts as none."""
    try:
        data = json.loads(state_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in data.items() if isinstance(value, dict)} if isinstance(data, dict) else {}


def save_progress(report: Report) -> None:
    """Note a report in the progress file, whole or not at all; a lab once passed stays passed.

    Raises CourseError where the file cannot be written.
    """
    data: dict[str, Mapping[str, Any]] = dict(load_progress())
    before = data.get(report.number, {})
    data[report.number] = dict(before) | {
        "name": report.name,
        "held": report.held,
        "of": len(report.results),
        "started": report.started,
        "passed": report.passed or bool(before.get("passed")),
    }
    _write(data)


def hints_read(note: Mapping[str, Any]) -> dict[str, int]:
    """How many of the two hints were read, by criterion, from a lab's entry in the progress file."""
    read = note.get("hints")
    return {str(key): value for key, value in read.items() if isinstance(value, int)} if isinstance(read, dict) else {}


def count_hints(number: str, key: str, read: int) -> None:
    """Note that `read` hints of a criterion are known now; one that is read again counts once.

    Raises CourseError where the progress file cannot be written.
    """
    data: dict[str, Mapping[str, Any]] = dict(load_progress())
    note = data.get(number, {})
    known = hints_read(note)
    if known.get(key, 0) < read:
        data[number] = dict(note) | {"hints": known | {key: read}}
        _write(data)


def _write(data: Mapping[str, Any]) -> None:
    path = state_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".progress-", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, sort_keys=True)
        Path(name).replace(path)
    except OSError as error:
        raise CourseError("Your progress cannot be saved.", f"{error}.", "Set DOCKERLAB_STATE to a folder that you can write to.") from error
