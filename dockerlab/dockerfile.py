"""A Dockerfile as data: stages and instructions with flags, arguments and heredocs. Pure; reads what BuildKit's parser reads.

Continued lines are joined as BuildKit joins them: comment and empty lines between them vanish, indentation stays.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\1")
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(\S+))?\s*")
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")


@dataclass(frozen=True)
class Instruction:
    """One instruction; `text` holds its arguments without flags, `heredoc` the bodies that follow it, `line` counts from 1."""

    keyword: str
    text: str
    flags: tuple[tuple[str, str], ...] = ()
    heredoc: str = ""
    line: int = 0

    def flag(self, name: str) -> str:
        """The value of a flag, "" where it is not set."""
        return dict(self.flags).get(name, "")

    @property
    def words(self) -> list[str]:
        """The arguments of a COPY or ADD, of either form, sources first; a source that is a heredoc is left out."""
        if self.text.startswith("["):
            return [word.strip().strip('"') for word in self.text.strip("[] ").split(",")]
        return [word for word in self.text.split() if not _HEREDOC.fullmatch(word)]

    @property
    def mounts(self) -> list[dict[str, str]]:
        """The --mount flags of a RUN, each as its options."""
        values = [value for name, value in self.flags if name == "mount"]
        return [{key: rest for key, _, rest in (part.partition("=") for part in value.split(","))} for value in values]

    def __str__(self) -> str:
        flags = "".join(f"--{name}{f'={value}' if value else ''} " for name, value in self.flags)
        return f"{self.keyword} {flags}{' '.join(self.text.split())}"


@dataclass(frozen=True)
class Stage:
    """What stands from one FROM to the next; `name` in lower case, "" where it has none."""

    base: str
    name: str = ""
    instructions: tuple[Instruction, ...] = ()


@dataclass(frozen=True)
class Dockerfile:
    """The ARGs before the first FROM, and the stages."""

    arguments: tuple[Instruction, ...] = ()
    stages: tuple[Stage, ...] = field(default=())


def parse(text: str) -> Dockerfile:
    """The stages of a Dockerfile. Text that BuildKit would refuse gives what can be read of it."""
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    body: list[Instruction] = []
    for each in _instructions(text):
        if each.keyword == "FROM":
            if stages:
                stages[-1] = Stage(stages[-1].base, stages[-1].name, tuple(body))
            base, *rest = each.text.split()
            stages.append(Stage(base, rest[1].lower() if len(rest) == 2 and rest[0].upper() == "AS" else ""))
            body = []
        elif stages:
            body.append(each)
        else:
            arguments.append(each)
    if stages:
        stages[-1] = Stage(stages[-1].base, stages[-1].name, tuple(body))
    return Dockerfile(tuple(arguments), tuple(stages))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $NAME, ${NAME}, ${NAME:-otherwise} and ${NAME:+instead} as the builder does in COPY, WORKDIR, ENV and FROM."""

    def value(match: re.Match[str]) -> str:
        if match[0] == r"\$":
            return "$"
        name, operator, word = match[1] or match[2], match[3] or "", match[4] or ""
        known = bool(variables.get(name)) if operator.startswith(":") else name in variables
        if operator.endswith("+"):
            return expand(word, variables) if known else ""
        return variables[name] if known else expand(word, variables) if operator else variables.get(name, "")

    return _VARIABLE.sub(value, text)


def pairs(text: str) -> list[tuple[str, str | None]]:
    """NAME=value pairs of an ENV, ARG or LABEL; the value is None for `ARG NAME`. Knows the old form `ENV NAME value`."""
    first, _, rest = text.partition(" ")
    if "=" not in first and rest:
        return [(first, rest.strip())]
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return [(name, value if sign else None) for name, sign, value in (word.partition("=") for word in words)]


def _instructions(text: str) -> Iterator[Instruction]:
    lines = list(enumerate(text.splitlines(), 1))
    while lines:
        number, line = lines.pop(0)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        joined = line.strip()
        while joined.endswith("\\"):
            joined = joined[:-1]
            while lines and (not lines[0][1].strip() or lines[0][1].lstrip().startswith("#")):
                lines.pop(0)
            if not lines:
                break
            joined += lines.pop(0)[1].rstrip()
        keyword, _, rest = joined.partition(" ")
        heredoc = []
        if keyword.upper() in ("RUN", "COPY", "ADD"):
            for match in _HEREDOC.finditer(rest):
                while lines:
                    heredoc.append(lines.pop(0)[1])
                    if heredoc[-1].strip("\t" if "<<-" in match[0] else "") == match[2]:
                        break
        flags, rest = [], rest.strip()
        while keyword.upper() in ("RUN", "COPY", "ADD", "FROM", "HEALTHCHECK") and (match := _FLAG.match(rest)):
            flags.append((match[1], match[2] or ""))
            rest = rest[match.end():]
        yield Instruction(keyword.upper(), rest, tuple(flags), "\n".join(heredoc), number)
