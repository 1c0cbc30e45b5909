"""Words are expanded and split as BuildKit's own tests ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockerlab.images import dockerfile_words
from dockerlab.images.dockerfile_words import BadSubstitution

CORPUS = json.loads((Path(__file__).parents[1] / "data" / "buildkit_words.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("word", "variables", "expected"), CORPUS["expansions"])
def test_a_word_expands_as_in_buildkit(word: str, variables: dict[str, str], expected: str | None) -> None:
    if expected is None:
        with pytest.raises(BadSubstitution):
            dockerfile_words.expand(word, variables)
    else:
        assert dockerfile_words.expand(word, variables) == expected


@pytest.mark.parametrize(("text", "variables", "expected"), CORPUS["words"])
def test_a_text_splits_as_in_buildkit(
    text: str, variables: dict[str, str], expected: list[str] | None
) -> None:
    if expected is None:
        with pytest.raises(BadSubstitution):
            dockerfile_words.expanded_words(text, variables)
    else:
        assert dockerfile_words.expanded_words(text, variables) == expected


@pytest.mark.parametrize(
    ("text", "escape", "expected"),
    [("C:\\a`$B", "`", "C:\\a$B"), ('`"a b`"', "`", '"a b"'), ("\\$B", "`", "\\x")],
)
def test_the_escape_token_may_be_a_backtick(text: str, escape: str, expected: str) -> None:
    assert dockerfile_words.expand(text, {"B": "x"}, escape) == expected


def test_some_things_stay_where_they_are_only_named() -> None:
    assert dockerfile_words.unquote("'$A' \"$B\" \\$C") == "$A $B $C"
    assert dockerfile_words.expand_command("echo '$A' \"$A $B\"", {"A": "1"}) == "echo '$A' \"1 $B\""
    assert dockerfile_words.expand_body('it\'s $A \\$A "${B-2}"', {"A": "1"}) == 'it\'s 1 $A "2"'
    assert dockerfile_words.split('RUN cat << \'E F\' "a\\"b" c\\ d') == [
        "RUN",
        "cat",
        "<< 'E F'",
        '"a\\"b"',
        "c\\ d",
    ]
    assert dockerfile_words.split("RUN it's") == []
