"""Every command that the course names in a message exists: in the package's texts, a span between backticks can be typed."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from dockerlab import cli
from dockerlab.core.settings import ROOT

TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
GROUPS = (
    "builder",
    "buildx",
    "compose",
    "container",
    "context",
    "image",
    "network",
    "service",
    "stack",
    "swarm",
    "system",
    "volume",
)
COMMANDS = ("make", "dockerlab", "docker", "git", "sudo", "df", "ls", "apt-get", "journalctl", "jupyter")


def texts(file: Path) -> list[str]:
    """Every string of a module, docstrings left out; a value that is filled in at run time reads NAME."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {id(node.body[0].value) for node in ast.walk(tree)
                  if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    found, parts = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(value) for value in node.values}
            found.append(
                "".join(
                    str(value.value) if isinstance(value, ast.Constant) else "NAME" for value in node.values
                )
            )
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in parts | docstrings
        ):
            found.append(re.sub(r"\{\w*\}", "NAME", node.value))
    return found


def spans() -> dict[str, str]:
    """Command -> the module that names it."""
    found = {}
    for file in sorted((ROOT / "dockerlab").rglob("*.py")):
        for text in texts(file):
            for span in re.findall(r"`([^`\n]+)`", text):
                if span.split()[0] in COMMANDS:
                    found[span] = file.relative_to(ROOT).as_posix()
    return found


SPANS = spans()


def test_there_is_advice() -> None:
    assert len(SPANS) >= 15
    assert {"dockerlab bases", "make engine", "docker system df"} <= SPANS.keys()


@pytest.mark.parametrize("span", sorted(SPANS))
def test_a_command_that_is_named_exists(span: str) -> None:
    words = shlex.split(span.replace("NAMENAME", "NAME"))
    if words[0] == "sudo":
        words = words[1:]
    if words[0] == "make":
        assert len(words) < 3 and set(words[1:]) <= TARGETS, SPANS[span]
    elif words[0] == "dockerlab":
        if len(words) > 1:
            _parses(words[1:])
    elif words[0] == "docker":
        _docker_knows(words[1:])
    elif words[0] == "git":
        assert words[:3] == ["git", "checkout", "--"] and (ROOT / words[3]).exists(), SPANS[span]
    else:
        assert shutil.which(words[0], path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), SPANS[span]


def _parses(words: list[str]) -> None:
    """The command line takes these words; in advice a number or name may be left out for the reader to fill in."""
    said = ""
    for filled in (words, [*words, "00"]):
        try:
            name, command, rest = cli.app.resolve_command(click.Context(cli.app), filled)
            assert command is not None
            command.make_context(name, rest)
        except click.exceptions.Exit:  # --help
            return
        except click.UsageError as error:
            said = error.format_message()
        else:
            return
    raise AssertionError(said)


def _docker_knows(words: list[str]) -> None:
    """The `docker` command has this subcommand, and those of its options that stand before the first placeholder."""
    if not shutil.which("docker"):
        pytest.skip("there is no docker command here")
    if words and words[0].isupper():  # the whole command is filled in at run time
        return
    subcommand = words[: 2 if words[:1] and words[0] in GROUPS and words[1:] and words[1].islower() else 1]
    text = _help(*subcommand)
    for word in words[len(subcommand) :]:
        if word.isupper():
            return
        if word.startswith("-"):
            assert re.search(rf"(?:^|[\s,]){re.escape(word.split('=')[0])}\b", text), (
                f"{word} is no option of docker {' '.join(subcommand)}"
            )


@functools.cache
def _help(*subcommand: str) -> str:
    done = subprocess.run(
        ["docker", *subcommand, "--help"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0 and f"docker {' '.join(subcommand)}".strip() in done.stdout, (
        done.stdout + done.stderr
    )
    return done.stdout
