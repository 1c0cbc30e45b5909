"""nbval drops a malformed pair without a word, so each pair is tried here the way nbval reads and applies it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nbval.plugin import get_sanitize_patterns

TEXT = (Path(__file__).parents[2] / "nbval_sanitize.cfg").read_text(encoding="utf-8")
PAIRS = get_sanitize_patterns(TEXT)
EXAMPLES = [
    (example, regex)
    for block in TEXT.split("\n\n")
    for regex in re.findall(r"^regex: (.*)$", block, flags=re.MULTILINE)
    for example in re.findall(r"^example: (.*)$", block, flags=re.MULTILINE)
]


def _sanitized(text: str) -> str:
    for regex, replace in PAIRS:
        text = re.sub(regex, replace, text)
    return text


def test_no_pair_was_dropped() -> None:
    assert (
        len(PAIRS)
        == len(re.findall(r"regex:", TEXT.split("\n\n", 1)[1]))
        == len(re.findall(r"^replace:", TEXT, flags=re.MULTILINE))
    )
    assert len({regex for regex, _ in PAIRS}) == len(PAIRS) > 0


def test_every_replacement_is_a_marker_that_stays() -> None:
    for _, marker in PAIRS:
        assert re.fullmatch(r"[A-Z][A-Z-]+", marker)
        assert _sanitized(marker) == marker


def test_every_pair_has_an_example() -> None:
    assert {regex for _, regex in EXAMPLES} == {regex for regex, _ in PAIRS}


@pytest.mark.parametrize(("example", "regex"), EXAMPLES)
def test_the_example_is_replaced_by_its_own_pair(example: str, regex: str) -> None:
    marker = dict(PAIRS)[regex]
    assert marker in re.sub(regex, marker, example) and marker in _sanitized(example)


@pytest.mark.parametrize(
    "text",
    ["3 containers", "85 MB", "python:3.11-slim-bookworm", "3.11 steps", "0.75 agreement", "version 1.2.3"],
)
def test_what_a_lesson_claims_is_still_compared(text: str) -> None:
    assert _sanitized(text) == text


def test_a_table_may_look_otherwise_but_not_say_anything_else() -> None:
    right, left, other = "<td>pip</td>", '<td style="text-align: left">pip</td>', "<td>uv</td>"
    assert _sanitized(right) == _sanitized(left) != _sanitized(other)
