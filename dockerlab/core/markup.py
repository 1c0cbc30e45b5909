"""How tables and words look in a notebook: words stand at the left, where they are read, numbers at the right."""

from __future__ import annotations

import re
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_LEFT = ' style="text-align: left"'
# Where pandas says its class lives, by version; a name, so that pandas is not loaded for this.
_HOMES = ("pandas", "pandas.core.frame")


def words_left(frame: pd.DataFrame) -> str | None:
    """pandas' own HTML of a table, with columns of words and the row names aligned left; JupyterLab aligns every cell right. Pure."""
    html: str | None = frame._repr_html_()
    if html is None:
        return None
    head, found, body = html.partition("<tbody>")
    words = [
        any(
            isinstance(value, str) or type(value).__name__ in ("bool", "bool_")
            for value in frame.iloc[:, number]
        )
        for number in range(frame.shape[1])
    ]
    if not words or body.partition("</tr>")[0].count("<td>") != len(
        words
    ):  # too many columns to show: some stand for others
        return _plain(html)
    if frame.columns.nlevels == 1:
        head = _align(head, "th", [*[True] * frame.index.nlevels, *words])
    return _plain(head + found + _align(_align(body, "td", words), "th", [True]))


def with_code(text: str) -> str:
    """Text as HTML, with `code` between backticks. Pure."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def printable(text: str) -> str:
    """What a program wrote may hold anything: colours, which go, and codes that would move the reader's cursor. Pure."""
    plain = re.sub(r"\x1b\[[0-9;]*m|\r(?=\n)", "", text)
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in plain
    )


def _plain(html: str) -> str:
    """Each dollar in an element of its own: a notebook reads what stands between two of them as a formula."""
    return html.replace("$", "<span>$</span>")


def _align(html: str, tag: str, left: list[bool]) -> str:
    """Align the cells of each row in turn."""
    turns = cycle(left)
    return re.sub(f"<{tag}>", lambda cell: f"<{tag}{_LEFT}>" if next(turns) else cell[0], html)


def in_notebooks(shell: Any) -> None:
    """Let this IPython show every table so. May be called again."""
    for home in _HOMES:
        shell.display_formatter.formatters["text/html"].for_type_by_name(home, "DataFrame", words_left)
