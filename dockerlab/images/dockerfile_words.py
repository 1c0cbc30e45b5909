"""Words and variables as the builder reads them: quotes, escapes, $NAME and every ${NAME…} form. Pure.

By the rules of BuildKit's frontend/dockerfile/shell: no shell is asked, and a `$(command)` stays as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

# What Go's unicode.IsSpace calls a space; Python's str.isspace counts a few control characters more.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_SPECIAL_PARAMETERS = "@*#?-$!"


Lexer = Callable[[str, Mapping[str, str], str], str]


class BadSubstitution(ValueError):
    """The builder would refuse this word: a quote or brace that is not closed, an unknown operator, a variable that has to be set."""


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """The word as COPY, ENV, FROM and their like use it: variables replaced, quotes and escapes gone. Raises BadSubstitution."""
    return _Lexer(word, variables, escape).read()[0]


def unquote(word: str, escape: str = "\\") -> str:
    """The word without its quotes and escapes; variables stay as they stand. Raises BadSubstitution."""
    return _Lexer(word, {}, escape, keep_unset=True).read()[0]


def expand_body(text: str, variables: Mapping[str, str]) -> str:
    """The body of an unquoted heredoc of COPY: variables are replaced, quotes stay. Raises BadSubstitution."""
    return _Lexer(text, variables, plain_quotes=True).read()[0]


def expand_command(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A RUN as BuildKit names its step: known variables replaced, quotes kept. Raises BadSubstitution."""
    return _Lexer(text, variables, escape, keep_quotes=True, keep_unset=True).read()[0]


def split(text: str) -> list[str]:
    """The words of a line with their quotes and escapes, `<<` joined with what follows it; [] where a quote is not closed."""
    try:
        return _Lexer(text, {}, keep_quotes=True, keep_escapes=True, keep_unset=True).read()[1]
    except BadSubstitution:
        return []


def unquoted_words(text: str, *, keep_quotes: bool = False) -> list[str]:
    """The words of a text without escapes, and without quotes unless they are kept; variables stay. Raises BadSubstitution."""
    return _Lexer(text, {}, keep_quotes=keep_quotes, keep_unset=True).read()[1]


def expanded_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The words of a text after its variables are replaced, as EXPOSE takes them. Raises BadSubstitution."""
    return _Lexer(text, variables, escape).read()[1]


class _Words:
    """Collects words: a space that no quote protects ends one."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._current = ""

    def add(self, text: str, *, protected: bool = False) -> None:
        for char in text:
            if protected or char not in SPACES:
                self._current += char
            elif self._current:
                self.done.append(self._current)
                self._current = ""

    def all(self) -> list[str]:
        return [*self.done, self._current] if self._current else self.done


class _Lexer:
    """Reads one text from left to right. `keep_…`: quotes, escapes, or variables without a value stay; `plain_quotes`: a quote is a letter."""

    def __init__(
        self, text: str, variables: Mapping[str, str], escape: str = "\\", *,
        keep_quotes: bool = False, keep_escapes: bool = False, keep_unset: bool = False, plain_quotes: bool = False,
    ) -> None:  # fmt: skip
        self._text, self._at, self._variables, self._escape = text, 0, variables, escape
        self._keep_quotes, self._keep_escapes, self._keep_unset, self._plain_quotes = (
            keep_quotes,
            keep_escapes,
            keep_unset,
            plain_quotes,
        )

    def read(self, stop: str = "", *, keep_escapes: bool | None = None) -> tuple[str, list[str]]:
        """The text up to `stop`, or to its end, as one string and as words."""
        keep = self._keep_escapes if keep_escapes is None else keep_escapes
        result, words = "", _Words()
        while char := self._peek():
            if char == stop:
                self._next()
                return result, words.all()
            if char == "$":
                found = self._dollar()
                words.add(found)
            elif char == "<":
                found = self._possible_heredoc()
                words.add(found, protected=True)
            elif char in "'\"" and not self._plain_quotes:
                found = self._single() if char == "'" else self._double(keep)
                words.add(found, protected=True)
            elif char == self._escape:
                self._next()
                found = char * keep + self._next()
                words.add(found, protected=True)
            else:
                found = self._next()
                words.add(found)
            result += found
        if stop:
            raise BadSubstitution(f"{self._text!r} has no closing {stop}")
        return result, words.all()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1 : self._at]

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise BadSubstitution(f"{self._text!r} has no closing single quote")
        inner, self._at = self._text[self._at + 1 : end], end + 1
        return f"'{inner}'" if self._keep_quotes else inner

    def _double(self, keep_escapes: bool) -> str:
        quote = self._next() * self._keep_quotes
        result = quote
        while char := self._peek():
            if char == '"':
                self._next()
                return result + quote
            if char == "$":
                result += self._dollar()
                continue
            self._next()
            if char == self._escape:
                result += char * keep_escapes
                following = self._peek()
                if not following:
                    continue
                if following in ('"', "$", self._escape):  # the others keep their backslash
                    char = self._next()
            result += char
        raise BadSubstitution(f"{self._text!r} has no closing double quote")

    def _possible_heredoc(self) -> str:
        self._next()
        if self._peek() != "<":
            return "<"
        self._next()
        result = "<<"
        while self._peek() and self._peek() in "\t\r ":
            result += self._next()
        return result

    def _name(self) -> str:
        first = self._peek()
        if first.isdecimal():
            pattern = r"\d+"
        elif first and first in _SPECIAL_PARAMETERS:
            return self._next()
        else:
            pattern = r"\w*"
        name = re.compile(pattern).match(self._text, self._at)[0]  # type: ignore[index]
        self._at += len(name)
        return name

    def _dollar(self) -> str:
        self._next()
        if self._peek() != "{":
            name = self._name()
            if not name or (name not in self._variables and self._keep_unset):
                return f"${name}"
            return self._variables.get(name, "")
        self._next()
        if self._peek() in ("", "{", "}", ":"):
            raise BadSubstitution(f"{self._text!r} has a bad substitution")
        name, operator = self._name(), self._next()
        unset = self._keep_unset and name not in self._variables
        if operator == "}":
            return f"${{{name}}}" if unset else self._variables.get(name, "")
        if operator == "/":
            return self._replaced(name, unset)
        if operator == ":":
            operator += self._next()
        if operator not in ("-", "+", "?", "#", "%", ":-", ":+", ":?"):
            raise BadSubstitution(f"{self._text!r} has the unknown operator {operator}")
        word = self.read("}", keep_escapes=operator in "#%")[0]
        if unset:
            return f"${{{name}{operator}{word}}}"
        value = self._variables.get(name, "")
        if operator in "#%":
            return _trimmed(value, word, operator)
        known = bool(value) if operator.startswith(":") else name in self._variables
        if operator.endswith("-"):
            return value if known else word
        if operator.endswith("+"):
            return word if known else ""
        if not known:
            raise BadSubstitution(f"{name}: {word or 'has to be set'}")
        return value

    def _replaced(self, name: str, unset: bool) -> str:
        """${NAME/pattern/text} replaces the first match, ${NAME//pattern/text} every one."""
        every = self._peek() == "/"
        if every:
            self._next()
        pattern = self.read("/", keep_escapes=True)[0]
        replacement = self.read("}", keep_escapes=True)[0]
        if unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        value, result, end = self._variables.get(name, ""), "", 0
        for match in re.finditer(_regex(pattern, greedy=True), value):
            if match.end() == match.start() == end and end:
                continue  # Go does not count an empty match that touches the one before it
            result += value[end : match.start()] + replacement
            end = match.end()
            if not every:
                break
        return result + value[end:]


def _trimmed(value: str, pattern: str, operator: str) -> str:
    """The value without what matches at its beginning (#) or end (%): the shortest match, the longest where the operator is doubled."""
    greedy = pattern.startswith(operator)
    if greedy:
        pattern = pattern[1:]
    if operator == "%":  # backwards, since a regular expression finds the shortest match only from the left
        value, pattern = value[::-1], "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))
    if match := re.match(_regex(pattern, greedy=greedy), value):
        value = value[match.end() :]
    return value[::-1] if operator == "%" else value


def _regex(pattern: str, *, greedy: bool) -> str:
    """A pattern of ${…}, which knows `*`, `?` and the backslash, as a regular expression. Raises BadSubstitution."""
    result = ""
    for token in re.findall(r"\*+|\\.|.", pattern, re.DOTALL):
        if token.startswith("*"):
            result += ".*" if greedy else ".*?"
        elif token == "?":
            result += "."
        elif len(token) == 1:
            if token == "\\":
                raise BadSubstitution(f"the pattern {pattern!r} ends in a backslash")
            result += re.escape(token)
        elif token[1] in "*?\\}/":
            result += re.escape(token[1])
        else:
            raise BadSubstitution(f"the pattern {pattern!r} has the invalid escape {token}")
    return result
