"""What linters say about a Dockerfile: hadolint and BuildKit's own checks, as findings beside the lines they are about."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from dockerlab.core.errors import CourseError
from dockerlab.core.markup import with_code
from dockerlab.core.programs import tool
from dockerlab.engine.endpoint import environment

LEVELS = ("error", "warning", "info", "style")
MARKS = {"error": "✗", "warning": "!", "info": "i", "style": "~"}
SECONDS = 60


class LintFailed(CourseError):
    """A linter is missing, or could not read the Dockerfile."""


@dataclass(frozen=True, order=True)
class Finding:
    """One remark about one line (counted from 1); `tool` is hadolint or check, `level` one of LEVELS."""

    line: int
    rule: str
    level: str
    message: str
    tool: str


def hadolint(dockerfile: Path) -> list[Finding]:
    """Run hadolint on a file. Raises ProgramMissing where it is not installed, LintFailed where it cannot parse the file."""
    # Exit code 1 says only that there are findings.
    return parse_hadolint(_output([tool("hadolint"), "--no-color", "-f", "json", str(dockerfile)], ok=(0, 1)))


def build_check(context: Path, dockerfile: str = "Dockerfile") -> list[Finding]:
    """Run BuildKit's checks by `docker buildx build --call=check`; builds nothing. Asks the engine. Raises LintFailed."""
    command = [
        "docker",
        "buildx",
        "build",
        "--call=check,format=json",
        "-f",
        str(context / dockerfile),
        str(context),
    ]
    return parse_check(_output(command, ok=(0, 1), env=environment()))


def parse_hadolint(text: str) -> list[Finding]:
    """The output of `hadolint -f json`. Raises LintFailed where it is something else."""
    return sorted(
        Finding(item["line"], item["code"], item["level"], _sentence(item["message"]), "hadolint")
        for item in _json(text, list)
    )


def parse_check(text: str) -> list[Finding]:
    """The output of `docker build --call=check,format=json`; every check is a warning. Raises LintFailed for something else."""
    document = _json(text, dict)
    if error := document.get("buildError"):
        raise LintFailed(
            "The Dockerfile cannot be read.", f"{error.get('message', error)}.", "Mend that line."
        )
    return sorted(
        Finding(
            _first_line(item),
            item["ruleName"],
            "warning",
            _sentence(item.get("detail") or item.get("description") or ""),
            "check",
        )
        for item in document.get("warnings") or []
    )


def frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """One row a finding, by line: line, tool, rule, level, message."""
    rows = [(each.line, each.tool, each.rule, each.level, each.message) for each in sorted(findings)]
    return pd.DataFrame(rows, columns=["line", "tool", "rule", "level", "message"])


class Annotated:
    """A Dockerfile with line numbers and, beside each line, what linters say about it; as text and as HTML."""

    def __init__(self, text: str, findings: Iterable[Finding]) -> None:
        self.lines = (
            [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []
        )  # as linters count: a form feed ends no line
        self.findings = sorted(findings)

    def of(self, number: int) -> list[Finding]:
        """The findings about one line; those about the file as a whole stand at line 1."""
        return [each for each in self.findings if max(1, each.line) == number]

    def _title(self) -> str:
        lines = {each.line for each in self.findings}
        return (
            f"{len(self.findings)} findings on {len(lines)} of {len(self.lines)} lines"
            if self.findings
            else "No findings"
        )

    def __repr__(self) -> str:
        shown = [self._title()]
        for number, line in enumerate(self.lines, 1):
            shown.append(f"{number:3}  {line}")
            shown += [f"     {MARKS[each.level]} {each.rule}: {each.message}" for each in self.of(number)]
        return "\n".join(shown)

    def _repr_html_(self) -> str:
        rows = []
        for number, line in enumerate(self.lines, 1):
            said = "<br>".join(
                f"<b>{MARKS[each.level]} {escape(each.rule)}</b> {with_code(each.message)}"
                for each in self.of(number)
            )
            edge = "border-left:3px solid #d98e32;" if said else "border-left:3px solid transparent;"
            rows.append(
                f'<tr><td style="{edge}text-align:right;opacity:.6;vertical-align:top">{number}</td>'
                f'<td style="text-align:left;vertical-align:top"><code style="white-space:pre-wrap">{escape(line)}</code></td>'
                f'<td style="text-align:left;vertical-align:top">{said}</td></tr>'
            )
        head = "".join(
            f'<th scope="col" style="text-align:left">{name}</th>' for name in ("", "Dockerfile", "findings")
        )
        return f"<p><b>{escape(self._title())}</b></p><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _output(command: list[str], ok: tuple[int, ...], env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, env=env
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LintFailed(
            f"{Path(command[0]).name} did not run.", f"{error}.", "Run `dockerlab doctor`."
        ) from error
    if done.returncode not in ok or not done.stdout.strip():
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = lines[-1].rstrip(".") if lines else f"exit code {done.returncode}"
        raise LintFailed(
            f"{Path(command[0]).name} cannot judge this Dockerfile.",
            f"{reason}.",
            "Mend the line that it names.",
        )
    return done.stdout


def _json(text: str, kind: type) -> Any:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise LintFailed("The linter's answer is not JSON.", f"{error}.") from error
    if not isinstance(document, kind):
        raise LintFailed(
            "The linter's answer has another shape.",
            f"It is a {type(document).__name__}.",
            "Run `make setup` for the version of the course.",
        )
    return document


def _first_line(item: dict[str, Any]) -> int:
    ranges = (item.get("location") or {}).get("ranges") or [{}]
    return int((ranges[0].get("start") or {}).get("line", 0))


def _sentence(text: str) -> str:
    return " ".join(text.split())
