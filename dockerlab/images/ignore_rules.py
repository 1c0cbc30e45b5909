"""Which files of a folder a build sends: the rules of `.dockerignore`, as Docker applies them. Pure, but for `IgnoreRules.walk`.

Docker reads the file with moby/patternmatcher's `ignorefile` package and matches with its `PatternMatcher`; BuildKit's client walks
the folder with tonistiigi/fsutil's filter. The rules below are theirs, oddities included: each pattern becomes a regular expression of
Go (so `\\d` is a digit), a match of a folder carries on to all below it, and a later `!pattern` takes a path back.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dockerlab.core.errors import CourseError

# What Go's strings.TrimSpace takes away; Python's strip() would take the separators \x1c to \x1f too.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_LONGEST_LINE = 65_535  # bytes; Go's bufio.Scanner gives up on a longer one
_WILD = set("*?[]\\")
# The classes that Go's regular expressions have in brackets, as Python writes them.
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class BadPattern(CourseError):
    """A pattern that Docker refuses."""

    def __init__(self, pattern: str) -> None:
        super().__init__(
            f"The pattern {pattern!r} cannot be read.",
            "A bracket or a backslash in it is not complete, or it is a lone `!`.",
            "Correct it in .dockerignore; a backslash before a special character takes it literally.",
        )


@dataclass(frozen=True)
class Pattern:
    """One pattern, cleaned and without its `!`; `back` says that it takes paths back."""

    text: str
    back: bool = False

    def matches(self, path: str) -> bool:
        """Whether the path itself matches. Raises BadPattern where Docker only now finds the pattern impossible."""
        if self.text.startswith("**") and _WILD.isdisjoint(self.text[2:]):  # compared as it is written
            return path.endswith(self.text[2:]) or self.text[2:] == f"/{path}"
        if self.text.endswith("**") and _WILD.isdisjoint(self.text[:-2]):
            return path.startswith(self.text[:-2])
        if _WILD.isdisjoint(self.text):
            return path == self.text
        return self._expression.search(_utf8(path)) is not None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        try:
            return re.compile(_regular(_utf8(self.text)), re.ASCII)
        except (re.error, LookupError, ValueError) as error:
            raise BadPattern(self.text) from error

    @property
    def folder(self) -> str:
        """The pattern without a `/**` and then a `/*` at its end."""
        return self.text.removesuffix("/**").removesuffix("/*")


class IgnoreRules:
    """A list of patterns, the last match of which decides."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Take patterns as BuildKit hands them on, for instance from `COPY --exclude`. Raises BadPattern."""
        self.patterns = [_pattern(text) for each in patterns if (text := each.strip(_SPACE))]
        # A pattern that takes back and has a wildcard in its folder's name may match anywhere, so no folder can be passed over.
        self._anywhere = any(
            each.back and not {*_WILD, "^"}.isdisjoint(each.folder) for each in self.patterns
        )

    @classmethod
    def parse(cls, text: str | bytes) -> IgnoreRules:
        """Read the content of a `.dockerignore`; bytes need not be UTF-8. Raises BadPattern."""
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        patterns = []
        for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            if len(line) > _LONGEST_LINE:
                raise BadPattern(line[:40].decode(errors="replace") + "…")
            pattern = line.decode(errors="surrogateescape").strip(_SPACE)
            if not pattern or line.startswith(b"#"):
                continue
            back = pattern.startswith("!")
            pattern = pattern[back:].strip(_SPACE)
            cleaned = _clean(pattern) if pattern else ""
            patterns.append("!" * back + (cleaned[1:] if len(cleaned) > 1 and cleaned[0] == "/" else cleaned))
        return cls(patterns)

    @classmethod
    def of(cls, folder: Path, dockerfile: str = "Dockerfile") -> IgnoreRules:
        """The rules for a build of `folder`: `<dockerfile>.dockerignore`, else `.dockerignore`, else none. Raises BadPattern.

        As with Docker, a link that leads out of the folder counts as no file.
        """
        for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
            if (folder / name).is_file() and (folder / name).resolve().is_relative_to(folder.resolve()):
                return cls.parse((folder / name).read_bytes())
        return cls()

    def excludes(self, path: str) -> bool:
        """Whether a path, relative and with "/", is kept back, by its own name or by that of a folder above it. Raises BadPattern."""
        above: list[bool] = []
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            matched, above = self.step("/".join(parts[:depth]), above)
            if matched and depth < len(parts) and self._passed_over("/".join(parts[:depth])):
                return True
        return matched

    def walk(self, folder: Path) -> Iterator[str]:
        """The paths below `folder` that a build sends, relative and with "/": files, links, and folders before what is in them.

        A folder is sent where it is not kept back or something in it is sent. Links are not followed; what vanishes meanwhile is
        left out. Raises BadPattern, and OSError for a folder that may not be read and is not kept back.
        """
        for path, sent in self._below(folder, "", []):
            if sent:
                yield path

    def _below(self, folder: Path, prefix: str, above: list[bool]) -> Iterator[tuple[str, bool]]:
        """Each path below `folder`/`prefix`, and whether it is sent; `above` is what `step` said of the prefix."""
        with os.scandir(folder / prefix) as entries:
            found = sorted(entries, key=lambda each: os.fsencode(each.name))
        for entry in found:
            path = prefix + entry.name
            matched, here = self.step(path, above)
            if not entry.is_dir(follow_symlinks=False):
                yield path, not matched
            elif not matched or not self._passed_over(path):
                yield from self._within(folder, path, here, matched)

    def _within(
        self, folder: Path, path: str, above: list[bool], matched: bool
    ) -> Iterator[tuple[str, bool]]:
        """A folder, and what is in it; one that is kept back goes along as soon as something in it is sent."""
        if matched and not os.access(folder / path, os.R_OK | os.X_OK):
            return
        named = not matched
        yield path, named
        with suppress(FileNotFoundError, NotADirectoryError):  # it has gone meanwhile
            for each, sent in self._below(folder, f"{path}/", above):
                if sent and not named:
                    named = True
                    yield path, True
                yield each, sent

    def step(self, path: str, above: list[bool]) -> tuple[bool, list[bool]]:
        """Whether a path is kept back, and which patterns matched it or a folder above; `above` is the same list for its parent, [] at the top."""
        matched, here = False, []
        for number, pattern in enumerate(self.patterns):
            match = bool(above and above[number])
            if not match and pattern.back == matched:  # else the pattern could change nothing
                match = pattern.matches(path)
            here.append(match)
            if match:
                matched = not pattern.back
        return matched, here

    def _passed_over(self, folder: str) -> bool:
        """Whether nobody looks into a folder that is kept back, since no pattern can take back what is in it."""
        return not self._anywhere and not any(
            f"{each.folder}/".startswith(f"{folder}/") for each in self.patterns if each.back
        )


def glob(pattern: str, name: str) -> bool:
    """Whether a name matches a pattern by the rules of Go's filepath.Match, which COPY goes by. Raises BadPattern.

    As there, what stands behind the first `*` that cannot match is not read, so a mistake in it goes unnoticed.
    """
    chunks = _chunks(_utf8(pattern))
    rest = _utf8(name)
    for number, (star, chunk) in enumerate(chunks):
        if star and not chunk:
            return "/" not in rest
        try:
            expression = re.compile("".join(_globbed(chunk)))
        except (LookupError, ValueError) as error:
            raise BadPattern(pattern) from error
        last = number == len(chunks) - 1
        starts = range(len(rest.split("/")[0]) + 1) if star else (0,)
        found = (
            match.end()
            for start in starts
            if (match := expression.match(rest, start)) and (not last or match.end() == len(rest))
        )
        if (end := next(found, None)) is None:
            return False
        rest = rest[end:]
    return not rest


def _chunks(pattern: str) -> list[tuple[bool, str]]:
    """A pattern cut before each run of `*` outside of brackets: whether it begins with one, and what follows that."""
    chunks, star, chunk, inside = [], False, "", False
    for part in re.findall(r"\\.|\*+|.", pattern, re.DOTALL):
        if part[0] == "*" and not inside:
            chunks += [(star, chunk)] if star or chunk else []
            star, chunk = True, ""
        else:
            inside = part == "[" or inside and part != "]"
            chunk += part
    return [*chunks, (star, chunk)] if star or chunk else chunks


def _globbed(chunk: str) -> Iterator[str]:
    """A pattern of filepath.Match without `*` as a regular expression. Raises ValueError or LookupError where it is not complete."""
    position = 0
    while position < len(chunk):
        letter = chunk[position]
        position += 1
        if letter == "[":
            part, position = _class(chunk, position)
            yield part
        elif letter == "\\":
            yield re.escape(chunk[position])
            position += 1
        else:
            yield "[^/]" if letter == "?" else re.escape(letter)


def _class(chunk: str, position: int) -> tuple[str, int]:
    """A class of filepath.Match, from behind its "[", and the place behind its "]"."""
    negated = chunk[position] == "^"
    position += negated
    ranges: list[tuple[str, str]] = []
    while not ranges or chunk[position] != "]":
        low, position = _member(chunk, position)
        high = low
        if chunk[position] == "-":
            high, position = _member(chunk, position + 1)
        ranges.append((low, high))
    inside = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    return f"[{'^' * negated}{inside}]" if inside else r"[\s\S]" if negated else "(?!)", position + 1


def _member(chunk: str, position: int) -> tuple[str, int]:
    if chunk[position] in "-]\ufffd":
        raise ValueError(chunk)
    position += chunk[position] == "\\"
    return chunk[position], position + 1


def _pattern(text: str) -> Pattern:
    cleaned = _clean(text)
    back = cleaned.startswith("!")
    if cleaned == "!":
        raise BadPattern(cleaned)
    glob(cleaned[back:], ".")  # as patternmatcher does, to see mistakes
    return Pattern(cleaned[back:], back)


def _clean(path: str) -> str:
    """The shortest way to write a path, as Go's filepath.Clean has it."""
    cleaned = posixpath.normpath(path)
    return (
        cleaned[1:] if cleaned.startswith("//") else cleaned
    )  # POSIX gives two leading slashes a meaning, Go does not


def _utf8(text: str) -> str:
    """The text as Go's regular expressions read it: a byte that is no UTF-8 is the replacement character."""
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


def _regular(pattern: str) -> str:
    """The regular expression that patternmatcher makes of a pattern, in Python's spelling. Raises ValueError or LookupError."""
    # With a backslash at the end of the pattern, the "$" is no end but a letter.
    source, position, parts = f"^{_as_go(pattern)}$", 0, []
    while position < len(source):
        if source[position] == "[":
            part, position = _go_class(source, position + 1)
        elif source[position] == "\\":
            part, position = _go_escape(source[position + 1]), position + 2
        elif source[position] == "{" and not re.compile(r"\{\d+(,\d*)?\}").match(source, position):
            part, position = r"\{", position + 1
        else:
            part, position = {"^": "(?:^)", "$": r"\Z"}.get(source[position], source[position]), position + 1
        parts.append(part)
    return "".join(parts)


def _as_go(pattern: str) -> str:
    """The same as Go gets it: patternmatcher hands on brackets, backslashes, `{`, `}` and `|` as they are, and makes `[^/]*` of any `*`."""
    parts, position = [], 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == "*" and pattern.startswith("*", position):
            position += 1
            position += pattern.startswith("/", position)
            parts.append("(.*/)?" if position < len(pattern) else ".*")
        elif letter in "*?":
            parts.append("[^/]*" if letter == "*" else "[^/]")
        elif letter in ".+()$":
            parts.append(f"\\{letter}")
        elif letter == "\\":
            parts.append(pattern[position - 1 : position + 1])
            position += 1
        else:
            parts.append(letter)
    return "".join(parts)


def _go_escape(letter: str) -> str:
    """What a backslash and a letter stand for outside of brackets. Raises ValueError where Go knows nothing of the kind."""
    if letter in "bBAdDsSwW":
        return rf"(?:\{letter})"
    return r"(?:\Z)" if letter == "z" else re.escape(_literal(letter))


def _literal(letter: str) -> str:
    if letter.isalnum() and letter not in _CONTROL or ord(letter) > 127:
        raise ValueError(letter)
    return _CONTROL.get(letter, letter)


def _go_class(source: str, position: int) -> tuple[str, int]:
    """A class, from behind its "[", and the place behind its "]". Raises ValueError or LookupError."""
    negated = source.startswith("^", position)
    position += negated
    parts: list[str] = []
    while not parts or source[position] != "]":
        if named := re.compile(r"\[:(\w+):\]").match(source, position):
            parts.append(_POSIX[named[1]])
            position = named.end()
        elif re.compile(r"\\[dDsSwW]").match(source, position):
            parts.append(source[position : position + 2])
            position += 2
        else:
            low, position = _go_member(source, position)
            high = low
            if source[position] == "-" and source[position + 1] != "]":
                high, position = _go_member(source, position + 1)
            if high < low:
                raise ValueError(source)
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' * negated}{''.join(parts)}]", position + 1


def _go_member(source: str, position: int) -> tuple[str, int]:
    if source[position] == "\\":
        return _literal(source[position + 1]), position + 2
    return source[position], position + 1
