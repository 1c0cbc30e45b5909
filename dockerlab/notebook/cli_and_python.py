"""One question, asked on the command line and with docker-py, in one table: what each says, and whether they agree.

In a lesson the command stands as `said = !docker …` and the call beside it; here the two answers are only compared.
"""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterable, Mapping
from typing import Any

import pandas as pd

from dockerlab.core.markup import words_left

_LONGEST = 60


def column(lines: Iterable[str], *keys: str) -> list[str]:
    """The values under `keys` of what `docker … --format json` printed, one JSON object a line; several are joined by a colon.

    A line that is no JSON object (a warning, an error) stays as it is, so that a comparison shows it.
    """
    values = []
    for line in lines:
        try:
            entry = json.loads(line)
            values.append(":".join(str(entry[key]) for key in keys))
        except (ValueError, TypeError, KeyError):
            values.append(str(line))
    return values


def which(true: Mapping[str, bool]) -> str:
    """Of two names the one that holds; else "both" or "neither"."""
    names = [name for name, holds in true.items() if holds]
    return names[0] if len(names) == 1 else "both" if names else "neither"


class BothWays:
    """The table; shown by a notebook as it is."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, bool]] = []

    def add(self, command: str, cli: Any, python: Any) -> BothWays:
        """Note both answers to one command. Lists count as the same in any order; everything is compared as text."""
        said, answered = _text(cli), _text(python)
        self._rows.append((command, _short(said), _short(answered), said == answered))
        return self

    @property
    def all_same(self) -> bool:
        """Whether there are answers and all agree."""
        return bool(self._rows) and all(row[3] for row in self._rows)

    @property
    def commands(self) -> list[str]:
        """The commands, in the order they were added."""
        return [row[0] for row in self._rows]

    def frame(self) -> pd.DataFrame:
        """One row a command: what the command line says, what docker-py says, and whether it is the same."""
        return pd.DataFrame(self._rows, columns=["command", "CLI says", "docker-py says", "same"]).set_index(
            "command"
        )

    def _repr_html_(self) -> str | None:
        return words_left(self.frame())

    def __repr__(self) -> str:
        return repr(self.frame())


def _text(answer: Any) -> str:
    if isinstance(answer, bytes):
        answer = answer.decode(errors="replace").splitlines()
    if isinstance(answer, (list, tuple, set, frozenset, ItemsView)):
        return ", ".join(sorted(_one(each) for each in answer)) or "nothing"
    return str(answer).strip()


def _one(answer: Any) -> str:
    return " ".join(map(str, answer)) if isinstance(answer, tuple) else str(answer).strip()


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
