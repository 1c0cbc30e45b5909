"""Findings of both linters, from their recorded output and from the programs themselves."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest

from dockerlab.core import programs
from dockerlab.images import lint
from dockerlab.images.lint import Annotated, Finding, LintFailed

DOUBTFUL = "FROM python:3.11-slim-bookworm\nWORKDIR app\nENV MODEL=/m/${MODLE}\nCMD python app.py\n"
HADOLINT = json.dumps(
    [
        {
            "code": "DL3025",
            "column": 1,
            "file": "Dockerfile",
            "level": "warning",
            "line": 4,
            "message": "Use arguments JSON notation\nfor CMD",
        },
        {
            "code": "DL3000",
            "column": 1,
            "file": "Dockerfile",
            "level": "error",
            "line": 2,
            "message": "Use absolute WORKDIR",
        },
    ]
)
CHECK = json.dumps(
    {
        "warnings": [
            {
                "ruleName": "UndefinedVar",
                "description": "Variables should be defined",
                "detail": "Usage of undefined variable '$MODLE'",
                "location": {"ranges": [{"start": {"line": 3}, "end": {"line": 3}}]},
            },
            {"ruleName": "Whole", "description": "about the file", "location": {}},
        ]
    }
)


def test_hadolint_is_read_in_the_order_of_lines() -> None:
    assert lint.parse_hadolint(HADOLINT) == [
        Finding(2, "DL3000", "error", "Use absolute WORKDIR", "hadolint"),
        Finding(4, "DL3025", "warning", "Use arguments JSON notation for CMD", "hadolint"),
    ]


def test_checks_of_the_builder_are_warnings() -> None:
    assert lint.parse_check(CHECK) == [
        Finding(0, "Whole", "warning", "about the file", "check"),
        Finding(3, "UndefinedVar", "warning", "Usage of undefined variable '$MODLE'", "check"),
    ]
    assert lint.parse_check('{"warnings": null}') == []


@pytest.mark.parametrize("text", ["", "not json", "{}"])
def test_something_else_than_findings_is_refused(text: str) -> None:
    with pytest.raises(LintFailed):
        lint.parse_hadolint(text)


def test_findings_stand_beside_their_lines() -> None:
    shown = Annotated(DOUBTFUL, lint.parse_hadolint(HADOLINT) + lint.parse_check(CHECK))
    lines = repr(shown).splitlines()
    assert lines[0] == "4 findings on 4 of 4 lines"
    assert lines[lines.index("  2  WORKDIR app") + 1] == "     ✗ DL3000: Use absolute WORKDIR"
    assert shown.of(1)[0].rule == "Whole"
    html = shown._repr_html_()
    assert html.count("<tr>") == 5
    assert "<b>✗ DL3000</b> Use absolute WORKDIR" in html


def test_a_line_of_the_dockerfile_cannot_break_the_page() -> None:
    assert "&lt;script&gt;" in Annotated("RUN echo <script>\n", [])._repr_html_()
    assert repr(Annotated("FROM scratch\n", [])).startswith("No findings")


def test_a_frame_has_one_row_a_finding() -> None:
    assert list(lint.frame(lint.parse_hadolint(HADOLINT))["line"]) == [2, 4]
    assert list(lint.frame([]).columns) == ["line", "tool", "rule", "level", "message"]


def test_a_linter_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(programs.ProgramMissing, match="make setup"):
        programs.tool("no-such-linter")


def test_hadolint_itself(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(DOUBTFUL)
    assert {(each.line, each.rule) for each in lint.hadolint(path)} >= {(2, "DL3000"), (4, "DL3025")}
    path.write_text('FROM python:3.11-slim-bookworm\nWORKDIR /app\nCMD ["python"]\n')
    assert lint.hadolint(path) == []
    with pytest.raises(LintFailed):
        lint.hadolint(tmp_path / "missing")


@pytest.mark.engine
def test_the_builder_itself(tmp_path: Path, client: docker.DockerClient) -> None:
    (tmp_path / "Dockerfile").write_text(DOUBTFUL)
    assert {(each.line, each.rule) for each in lint.build_check(tmp_path)} >= {
        (2, "WorkdirRelativePath"),
        (3, "UndefinedVar"),
        (4, "JSONArgsRecommended"),
    }
    (tmp_path / "Dockerfile").write_text("FROM scratch\nFOO bar\n")
    with pytest.raises(LintFailed, match="FOO"):
        lint.build_check(tmp_path)


def test_lines_are_counted_as_the_linters_count() -> None:
    assert (
        Annotated("FROM a\x0cb\r\nRUN c\u2028d\n", []).lines == ["FROM a\x0cb", "RUN c\u2028d"]
        and Annotated("", []).lines == []
    )
