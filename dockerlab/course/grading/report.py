"""What a check found, as text, as a table in the notebook, and in the learner's progress file. Pure but for that file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from html import escape

from dockerlab.core.errors import CourseError
from dockerlab.core.markup import with_code
from dockerlab.core.text import Text
from dockerlab.course.grading.progress import count_hints


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
        return Text(
            f"{item.promise}\n  {item.hint}\n  {item.second_hint}" if item else "Nothing needs a hint."
        )

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
            rows.append(
                "<tr>"
                + "".join(f'<td style="text-align:left">{with_code(cell)}</td>' for cell in cells)
                + "</tr>"
            )
        head = "".join(
            f'<th scope="col" style="text-align:left">{name}</th>'
            for name in ("", "", "promise", "wanted", "measured")
        )
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
        return title + (
            f"all {len(self.results)} hold" if self.passed else f"{self.held} of {len(self.results)} hold"
        )

    def _hint(self) -> str:
        return self.first_failure.hint if self.first_failure and not self.problem else ""
