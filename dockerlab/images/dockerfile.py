"""A Dockerfile as data: stages and instructions with flags, arguments and heredocs. Pure; reads what BuildKit's parser reads.

By the rules of BuildKit's frontend/dockerfile/parser: its own lines, words, flags, JSON form and heredocs, the escape directive and the
byte order mark. The one difference: text that BuildKit would refuse gives what can be read of it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dockerlab.engine import naming
from dockerlab.images import dockerfile_words
from dockerlab.images.dockerfile_words import SPACES, BadSubstitution

STEPS = ("RUN", "COPY", "ADD", "WORKDIR")  # the instructions that a build reports as steps
_HEREDOCS = ("RUN", "COPY", "ADD")
_JSON = ("ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME")
_LISTS = ("ADD", "COPY", "EXPOSE", "FROM", "VOLUME")  # words between spaces, where they are not JSON
_GAP = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"(\d*)<<(-?)[\t\n\f\r ]*([^<]*)", re.ASCII)
_DIRECTIVE = re.compile(r"(?:#|//)\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")


@dataclass(frozen=True)
class Heredoc:
    """Text that follows an instruction: the word that ends it, and whether tabs go (`<<-`) and variables are replaced (no quotes)."""

    name: str
    content: str = ""
    chomp: bool = False
    expand: bool = True

    @property
    def text(self) -> str:
        """The content as a file gets it: with `<<-` without the tabs at the beginning of its lines."""
        return re.sub(r"^\t+", "", self.content, flags=re.MULTILINE) if self.chomp else self.content


@dataclass(frozen=True)
class Instruction:
    """One instruction; `text` holds its arguments without flags, `original` all of it in one line, `line` counts from 1."""

    keyword: str
    text: str
    flags: tuple[tuple[str, str], ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    line: int = 0
    original: str = ""
    escape: str = "\\"

    def flag(self, name: str) -> str:
        """The value of a flag, "" where it is not set."""
        return dict(self.flags).get(name, "")

    def flag_values(self, name: str) -> list[str]:
        """All values of a flag that may be repeated."""
        return [value for key, value in self.flags if key == name]

    def is_set(self, name: str) -> bool:
        """Whether a flag that is true or false is set, such as --link."""
        return any(value.lower() in ("", "true") for value in self.flag_values(name))

    @cached_property
    def json(self) -> list[str] | None:
        """The words of the JSON form; None where the instruction has another form."""
        return _json_words(self.text) if self.keyword in _JSON else None

    @property
    def words(self) -> list[str]:
        """The arguments as they stand, quotes included; of a COPY or ADD the sources first, without those that are heredocs."""
        found = (
            self.json
            if self.json is not None
            else _GAP.split(self.text)
            if self.keyword in _LISTS
            else [self.text]
        )
        found = [word for word in found if word or self.json]
        return [word for word in found if not _heredoc(word)] if self.keyword in ("COPY", "ADD") else found

    @property
    def pairs(self) -> list[tuple[str, str | None]]:
        """NAME=value pairs of an ENV, ARG or LABEL as they stand, quotes included; the value is None for `ARG NAME`."""
        found = _quoted_words(self.text, self.escape)
        if self.keyword != "ARG" and found and "=" not in found[0]:  # the old form ENV NAME value
            name, *rest = _GAP.split(self.text, maxsplit=1)
            return [(name, "".join(rest))]
        return [
            (name, value if sign else None) for name, sign, value in (word.partition("=") for word in found)
        ]

    @property
    def mounts(self) -> list[dict[str, str]]:
        """The --mount flags of a RUN, each as its options; names in lower case, an option without a value has ""."""
        rows = [
            next(csv.reader([value.replace("\0", "")], strict=False), [])
            for value in self.flag_values("mount")
        ]
        return [{key.lower(): rest for key, _, rest in (part.partition("=") for part in row)} for row in rows]

    @property
    def trigger(self) -> Instruction | None:
        """The instruction that an ONBUILD holds for the images built on this one; None for every other instruction."""
        if self.keyword != "ONBUILD" or not self.text:
            return None
        inner = _instruction(self.text, self.line, self.escape)
        return Instruction(
            inner.keyword, inner.text, inner.flags, self.heredocs, self.line, self.text, self.escape
        )

    def __str__(self) -> str:
        flags = "".join(f"--{name}{f'={value}' if value else ''} " for name, value in self.flags)
        return " ".join(f"{self.keyword} {flags}{self.text}".split())


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next; `name` in lower case, "" where it has none, `line` that of the FROM."""

    base: str
    name: str = ""
    instructions: tuple[Instruction, ...] = ()
    line: int = 0


@dataclass(frozen=True)
class Dockerfile:
    """The ARGs before the first FROM, the stages, all instructions in their order, and the image of the `# syntax=` line."""

    arguments: tuple[Instruction, ...] = ()
    stages: tuple[Stage, ...] = field(default=())
    instructions: tuple[Instruction, ...] = ()
    syntax: str = ""
    escape: str = "\\"


def read(path: Path) -> str:
    """The text of a Dockerfile as it is built; a byte that is not UTF-8 becomes a visible escape such as \\xe9. Raises OSError."""
    return sent(path).decode("utf-8", errors="backslashreplace")


def sent(path: Path) -> bytes:
    """A Dockerfile as it goes to the engine: with this learner's names for images and caches of the course. Raises OSError."""
    return naming.own(path.read_bytes().decode("utf-8", errors="surrogateescape")).encode(
        "utf-8", errors="surrogateescape"
    )


def parse(text: str) -> Dockerfile:
    """The stages of a Dockerfile. Text that BuildKit would refuse gives what can be read of it."""
    text = text.removeprefix("\ufeff")
    directives = _directives(text)
    escape = directives["escape"] if directives.get("escape") in ("\\", "`") else "\\"
    instructions = tuple(_instructions(text, escape))
    starts = [number for number, each in enumerate(instructions) if each.keyword == "FROM"]
    ends = [*starts[1:], len(instructions)]
    stages = tuple(
        _stage(instructions[start], instructions[start + 1 : end])
        for start, end in zip(starts, ends, strict=False)
    )
    arguments = instructions[: starts[0]] if starts else instructions
    return Dockerfile(arguments, stages, instructions, _syntax(text), escape)


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Replace variables and remove quotes as the builder does in COPY, WORKDIR, ENV and FROM; what it would refuse stays as it stands."""
    try:
        return dockerfile_words.expand(text, variables, escape)
    except BadSubstitution:
        return text


def pairs(text: str, keyword: str = "ENV") -> list[tuple[str, str | None]]:
    """NAME=value pairs of an ENV, ARG or LABEL without their quotes, variables as they stand; the value is None for `ARG NAME`."""
    return [
        (_unquote(name), None if value is None else _unquote(value))
        for name, value in Instruction(keyword, text).pairs
    ]


def _unquote(word: str) -> str:
    try:
        return dockerfile_words.unquote(word)
    except BadSubstitution:
        return word


def _stage(opening: Instruction, instructions: tuple[Instruction, ...]) -> Stage:
    found = opening.words
    name = found[2].lower() if len(found) == 3 and found[1].lower() == "as" else ""
    return Stage(found[0] if found else "", name, instructions, opening.line)


def _directives(text: str, sign: str = "#") -> dict[str, str]:
    """The parser directives, which stand before everything else, each once."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        line = line.lstrip(SPACES)
        match = _DIRECTIVE.match(line.rstrip("\r")) if line.startswith(sign) else None
        if not match or match[1].lower() not in ("syntax", "escape", "check") or match[1].lower() in found:
            break
        found[match[1].lower()] = match[2]
    return found


def _syntax(text: str) -> str:
    """The image that reads this Dockerfile instead of the engine's own frontend, "" where it names none."""
    if text.startswith("#!"):
        text = text.partition("\n")[2]
    named = _directives(text).get("syntax") or _directives(text, "//").get("syntax", "")
    return named.partition(" ")[0]


def _instructions(text: str, escape: str) -> Iterator[Instruction]:
    lines = text.split("\n")
    continued = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    at = 0
    while at < len(lines):
        line, start, at = lines[at].rstrip("\r").lstrip(SPACES), at + 1, at + 1
        if line.startswith("#"):
            continue
        joined = continued.sub(r"\1", line)
        goes_on = joined != line
        while goes_on and at < len(lines):
            line, at = lines[at].rstrip("\r"), at + 1
            if line.lstrip(SPACES)[:1] in ("", "#"):  # an empty line or a remark between continued lines
                continue
            part = continued.sub(r"\1", line)
            goes_on = part != line
            joined += part
        if not joined.strip(SPACES):
            continue
        found = _instruction(joined, start, escape)
        heredocs = []
        for heredoc in _heredocs(found):
            content, at = _content(heredoc, lines, at)
            heredocs.append(Heredoc(heredoc.name, content, heredoc.chomp, heredoc.expand))
        yield Instruction(
            found.keyword, found.text, found.flags, tuple(heredocs), start, found.original, escape
        )


def _content(heredoc: Heredoc, lines: list[str], at: int) -> tuple[str, int]:
    """The text up to the line that ends a heredoc, and the number of the line behind it; where none ends it, all that is left."""
    for end in range(at, len(lines)):
        line = lines[end].rstrip("\r")
        if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
            return "".join(f"{line}\n" for line in lines[at:end]), end + 1
    return "\n".join(lines[at:]), len(lines)


def _instruction(line: str, number: int, escape: str) -> Instruction:
    keyword, *rest = _GAP.split(line.strip(SPACES), maxsplit=1)
    flags, text = _flags(rest[0] if rest else "", escape)
    named = tuple((name[2:], value) for name, _, value in (flag.partition("=") for flag in flags))
    return Instruction(keyword.upper(), text.strip(SPACES), named, (), number, line.strip(SPACES), escape)


def _flags(line: str, escape: str) -> tuple[list[str], str]:
    """The words at the beginning that start with --, without their quotes and escapes, and the rest of the line."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at] in SPACES:
            at += 1
        if not line.startswith("--", at):
            return flags, line[at:]
        word, quote = "", ""
        while at < len(line) and (quote or line[at] not in SPACES):
            char = line[at]
            at += 1
            if char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
            elif char == escape:
                word += line[at : at + 1]
                at += 1
            else:
                word += char
        if word == "--":
            return flags, line[at:]
        flags.append(word)


def _json_words(text: str) -> list[str] | None:
    """The strings of a JSON array; None for anything else."""
    if not text.lstrip(SPACES).startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in found):
        return None
    return [re.sub("[\ud800-\udfff]", "\ufffd", word) for word in found]  # as Go reads half a surrogate pair


def _quoted_words(text: str, escape: str) -> list[str]:
    """The words of an ENV, ARG or LABEL: a space in quotes or behind the escape token ends none; both stay in the word."""
    found: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        at += 1
        if not quote and char in SPACES:
            found += [word] if word else []
            word = ""
            continue
        if char == escape and quote != "'":
            char, at = (
                (char + text[at], at + 1) if at < len(text) else ("", at)
            )  # at the end of the line it means nothing
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        word += char
    return [*found, word] if word else found


def _heredoc(word: str) -> Heredoc | None:
    """The heredoc that a word opens, still without content; None where it opens none."""
    match = _HEREDOC.fullmatch(word)
    if not match or not match[3]:
        return None
    try:
        (plain,), (quoted,) = (
            dockerfile_words.unquoted_words(match[3]),
            dockerfile_words.unquoted_words(match[3], keep_quotes=True),
        )
    except (BadSubstitution, ValueError):  # not one word
        return None
    quotes = [each.count("'") + each.count('"') for each in (plain, quoted)]
    return Heredoc(plain, "", bool(match[2]), quotes[0] == quotes[1])


def _heredocs(instruction: Instruction) -> list[Heredoc]:
    """The heredocs that an instruction opens, in their order: a RUN, COPY or ADD, also below ONBUILD, that is not in JSON form."""
    inner = instruction.trigger or instruction
    if inner.keyword not in _HEREDOCS or inner.json is not None or "<<" not in instruction.original:
        return []
    return [heredoc for word in dockerfile_words.split(instruction.original) if (heredoc := _heredoc(word))]
