"""A Dockerfile is read as BuildKit's own parser reads it, word for word, and words are expanded by its rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dockerlab.images.dockerfile import Instruction, parse
from tests.support.dockerfile_yardstick import load

READ = load()
KNOWN = (
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)
OF_BUILDKIT = [(text, expected) for text, expected in READ if expected is not None]


def _words(each: Instruction) -> list[str]:
    """The arguments, as the yardstick has them: pairs one after the other, heredocs among the words."""
    if each.keyword in ("ENV", "LABEL"):
        return [part or "" for pair in each.pairs for part in pair]
    if each.keyword == "ARG":
        return [name if value is None else f"{name}={value}" for name, value in each.pairs]
    if each.keyword == "HEALTHCHECK":
        return each.text.split(maxsplit=1)
    if each.keyword in ("COPY", "ADD") and each.json is None:
        return [word for word in re.split(r"[\t\v\f\r ]+", each.text) if word]
    if each.keyword == "ONBUILD" and each.trigger:
        return _words(each.trigger)
    return each.words if each.keyword in KNOWN else [""]


def _row(each: Instruction) -> dict[str, Any]:
    flags = [f"--{name}{f'={value}' if value else ''}" for name, value in each.flags]
    heredocs = [
        [heredoc.name, heredoc.content] for heredoc in each.heredocs if each.keyword != "ONBUILD"
    ]  # the yardstick does not show those
    return {
        "keyword": each.keyword,
        "json": each.json is not None,
        "line": each.line,
        "flags": flags,
        "words": _words(each),
        "heredocs": heredocs,
    }


@pytest.mark.parametrize(("text", "expected"), OF_BUILDKIT, ids=range(len(OF_BUILDKIT)))
def test_read_as_buildkit_reads(text: str, expected: list[dict[str, Any]]) -> None:
    rows = [_row(each) for each in parse(text).instructions]
    assert rows == [each | {"flags": [flag.removesuffix("=") for flag in each["flags"]]} for each in expected]


@pytest.mark.parametrize("text", [text for text, expected in READ if expected is None])
def test_what_buildkit_refuses_gives_what_can_be_read(text: str) -> None:
    keywords = [
        line.split()[0].upper()
        for line in text.splitlines()
        if line.startswith(("FROM", "RUN", "ENV", "COPY", "ENTRYPOINT"))
    ]
    assert [each.keyword for each in parse(text).instructions][: len(keywords)] == keywords


@pytest.mark.parametrize(
    ("text", "keywords", "heredocs"),
    [
        ('COPY ["a", "b"] c', ["COPY"], []),
        ('RUN ["a"] # b', ["RUN"], []),
        ("RUN << EOF\na\nEOF", ["RUN"], ["a\n"]),
        ("RUN <<\tEOF\na\nEOF", ["RUN"], ["a\n"]),
        ("RUN echo $((1 << n ))\nRUN b\nn", ["RUN"], ["RUN b\n"]),
        ("RUN echo 1 << 2\nRUN b\n2", ["RUN"], ["RUN b\n"]),
    ],
)
def test_what_buildkit_reads_otherwise_since_0_18(
    text: str, keywords: list[str], heredocs: list[str]
) -> None:
    """Tried on engine 28.5.2: JSON with something behind it is no JSON, and spaces may stand behind `<<`."""
    instructions = parse(text).instructions
    assert [each.keyword for each in instructions] == keywords and not any(each.json for each in instructions)
    assert [heredoc.content for each in instructions for heredoc in each.heredocs] == heredocs
    assert [
        each.text for each in parse("# check=skip=all\n# escape=`\nFROM a\nRUN b `\n c").instructions
    ] == ["a", "b  c"]


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nRUN b\0c\nRUN d",
        "FROM",
        "\\",
        "\\\n\\",
        "ONBUILD",
        "ONBUILD ONBUILD ONBUILD RUN a",
        'RUN --mount="',
        "RUN <<",
        "COPY",
        "ENV",
        "FROM a AS",
        "COPY [[[[",
        "RUN " + "[" * 100_000,
        "# escape",
        "<<EOF",
        "RUN <<EOF",
        "=",
        "\r",
        "\0",
        'FROM a\nRUN --mount=a,"b\0\nc',
    ],
)
def test_nothing_makes_it_stumble(text: str) -> None:
    for each in parse(text).instructions:
        assert (
            isinstance(each.words, list)
            and isinstance(each.pairs, list)
            and isinstance(each.mounts, list)
            and str(each)
        )
        assert each.trigger is None or each.keyword == "ONBUILD"


def test_a_mount_is_read_as_csv() -> None:
    run = parse(
        'FROM a\nRUN --mount=type=bind,Source=b,readonly --mount="type=secret,\\"id=a,b\\"" c'
    ).instructions[1]
    assert run.mounts == [{"type": "bind", "source": "b", "readonly": ""}, {"type": "secret", "id": "a,b"}]


def test_the_image_of_the_syntax_line() -> None:
    lines = [
        "# syntax=docker/dockerfile:1",
        "#syntax = a/b:2 c",
        "#!/usr/bin/x\n# syntax=a",
        "// syntax=a",
        "# escape=`\n# syntax=a",
        "# a\n# syntax=b",
        "FROM a\n# syntax=b",
    ]
    assert [parse(line).syntax for line in lines] == ["docker/dockerfile:1", "a/b:2", "a", "a", "a", "", ""]
