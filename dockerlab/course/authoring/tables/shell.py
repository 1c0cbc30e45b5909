"""Which `docker` commands a notebook cell runs, with the flags that it gives them. Pure; nothing is run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

from dockerlab.course.authoring.regions import BuildError

# Words after `docker` that only name a family of commands, and their own families.
FAMILIES = frozenset(
    "buildx builder checkpoint compose config container context image manifest network node plugin sbom scout secret service stack swarm system "
    "trust volume".split()
)
SUBFAMILIES = {"buildx": frozenset({"imagetools", "history"}), "trust": frozenset({"key", "signer"})}
# Options before the name of a command that take the next word as their value.
VALUES = frozenset(
    "-H --host -c --context --config -l --log-level --tlscacert --tlscert --tlskey --builder -f --file -p --project-name --project-directory "
    "--profile --env-file --ansi --progress --parallel".split()
)
# These end with a command of the container, whose options are not docker's.
WITH_COMMAND = frozenset("run exec create debug".split())
SWITCHES = frozenset(
    "-d --detach -i --interactive -t --tty --rm --init --privileged --read-only --no-healthcheck -P --publish-all --oom-kill-disable -q --quiet "
    "-T --no-TTY --no-deps --use-aliases --service-ports --build --remove-orphans --no-tty".split()
)
# Words that run the command behind them; options and numbers of their own may stand between.
PREFIXES = frozenset(
    "sudo time exec then do else if while until ! env nohup timeout xargs command nice".split()
)
SHELL_MAGICS = frozenset(("bash", "sh", "script"))
FILLED = "§"  # stands for what IPython or the shell will put there
_FLAG = re.compile(r"--?[A-Za-z][A-Za-z-]*")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*?)\n.*?\n\s*\2[ \t]*(?=\n|$)", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One run of a `docker` command: its name without options (`docker compose up`) and the options it was given."""

    name: str
    flags: tuple[str, ...] = ()


def commands(source: str, where: str = "a cell") -> list[Command]:
    """The `docker` commands of a cell, in order. Raises BuildError where a shell line cannot be read."""
    found = []
    for line in shell_lines(source):
        try:
            found += parse(line)
        except ValueError as error:
            raise BuildError(
                f"{where}: a shell line cannot be read.", f"{error}: {line.strip()[:80]}", "Mend its quotes."
            ) from error
    return found


def shell_lines(source: str) -> Iterator[str]:
    """The text that a cell hands to a shell: `!line`, `name = !line`, and the body of `%%bash`. What stands in a string does not count."""
    for call in ast.walk(ast.parse(TransformerManager().transform_cell(source))):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        texts = [
            each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        if call.func.attr in ("system", "getoutput") and _is_ipython(call.func.value) and texts:
            yield _filled(texts[0])
        elif call.func.attr == "run_cell_magic" and len(texts) == 3 and texts[0] in SHELL_MAGICS:
            yield _HEREDOC.sub(r"\3", re.sub(r"(?m)^\s*#.*$", "", texts[2]))


def _filled(text: str) -> str:
    """The line with {expressions} of Python, nested or not, replaced: what they will be does not matter here."""
    while (shorter := re.sub(r"\{[^{}]*\}", FILLED, text)) != text:
        text = shorter
    return text


def _is_ipython(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def parse(text: str) -> list[Command]:
    """The `docker` commands of shell text, those in `$(…)` and behind `|`, `;`, `&&` too. Raises ValueError for an open quote."""
    text = re.sub(r"\\\n", " ", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    return [command for words in _simple_commands(list(lexer)) for command in _docker(words)]


def _simple_commands(tokens: list[str]) -> Iterator[list[str]]:
    """The words of each command; what stands in parentheses is a command of its own."""
    stack: list[list[str]] = [[]]
    for token in tokens:
        if token == "{":  # the body of a function
            yield stack[-1]
            stack[-1] = []
            continue
        if not token or set(token) - set("();<>|&\n"):
            stack[-1].append(token)
            continue
        for sign in token:
            if sign == "(":
                stack.append([])
            elif sign == ")" and len(stack) > 1:
                yield stack.pop()
            elif sign in ";|&\n":
                yield stack[-1]
                stack[-1] = []
    yield from reversed(stack)


def _docker(words: list[str]) -> Iterator[Command]:
    for word in words:  # "$(docker …)" in double quotes is one word
        for inner in re.findall(r"\$\((.*)\)|`(.*)`", word):
            yield from parse("".join(inner))
    position = 0
    while position < len(words) and (
        words[position] in PREFIXES
        or re.match(r"\w+=", words[position])
        or (position and re.match(r"-|\d", words[position]))
    ):
        position += 1
    if position < len(words) and words[position] == "docker":
        yield _named(words[position + 1 :])


def _named(words: list[str]) -> Command:
    """Split the words behind `docker` into name and flags."""
    names, families, rest, options = ["docker"], FAMILIES, words, []
    while True:
        behind = _behind_options(rest, in_family=len(names) > 1)
        options += rest[: len(rest) - len(behind)]
        if not behind:
            break
        names.append(behind[0])
        rest = behind[1:]
        if names[-1] not in families:
            options += _before_its_command(rest) if names[-1] in WITH_COMMAND else rest
            break
        families = SUBFAMILIES.get(names[-1], frozenset())
    return Command(" ".join(names), tuple(_flags(options)))


def _behind_options(words: list[str], in_family: bool) -> list[str]:
    """Drop options, their values, and words that a variable fills, up to the next name."""
    while words:
        if words[0].startswith("-"):
            words = words[2:] if words[0] in VALUES else words[1:]
        elif in_family and words[0][0] in f"{FILLED}$" and len(words) > 1:
            words = words[1:]
        else:
            break
    return words


def _before_its_command(words: list[str]) -> list[str]:
    """The options before the image or container of `docker run` and its like."""
    position = 0
    while position < len(words):
        word = words[position]
        if word.startswith("-"):
            takes_value = "=" not in word and word not in SWITCHES and not re.fullmatch(r"-[dit]+", word)
            position += 2 if takes_value else 1
        elif re.fullmatch(rf"{FILLED}|\$\w+", word):
            position += 1
        else:
            break
    return words[:position]


def _flags(words: list[str]) -> list[str]:
    """The options among these words, each once."""
    found = [match[0] for word in words if (match := _FLAG.match(word))]
    return list(dict.fromkeys(found))
