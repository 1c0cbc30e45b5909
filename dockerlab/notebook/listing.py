"""Show a file before it is built: with line numbers, or beside the version that it improves. Pure but for reading files."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from html import escape
from pathlib import Path

# A notebook that was not run yet is shown without most styles: `pre` keeps the letters and the spaces as they are.
_STYLE = "font-size:13px;line-height:1.4;white-space:pre-wrap;margin:0"
# Transparent colours over the theme's own background, readable in light and dark; the sign in front needs no colour.
_TINT = {"+": "background:rgba(47,125,91,0.22)", "-": "background:rgba(176,58,46,0.20)"}


@dataclass(frozen=True, repr=False)
class Listing:
    """Lines to look at, each with what stands in front of it: a line number or the sign of a change."""

    rows: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return "\n".join(f"{front} {text}".rstrip() for front, text in self.rows)

    def _repr_html_(self) -> str:
        lines = (
            f'<div style="{_TINT.get(front, "")}"><span style="opacity:0.6">{escape(front)}</span> {escape(text) or "&nbsp;"}</div>'
            for front, text in self.rows
        )
        return f'<pre style="{_STYLE}">{"".join(lines)}</pre>'


def listing(path: Path | str, first: int = 1, last: int | None = None) -> Listing:
    """Lines `first` to `last` of a file with their numbers."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    width = len(str(len(lines)))
    return Listing(
        tuple(
            (f"{number:{width}}", line)
            for number, line in enumerate(lines, 1)
            if first <= number <= (last or len(lines))
        )
    )


def difference(old: Path | str, new: Path | str, around: int | None = None) -> Listing:
    """Every line of `new`, with + in front of those that `old` lacks, and with - those of `old` that are gone.

    With `around`, only the changes and so many lines before and after them; … stands for what is left out.
    """
    before, after = (Path(path).read_text(encoding="utf-8").splitlines() for path in (old, new))
    rows = [(line[0], line[2:]) for line in difflib.ndiff(before, after) if not line.startswith("?")]
    if around is not None:
        changed = [number for number, (sign, _) in enumerate(rows) if sign != " "]
        near = [any(abs(number - each) <= around for each in changed) for number in range(len(rows))]
        rows = [
            row if keep else (" ", "…")
            for number, (row, keep) in enumerate(zip(rows, near, strict=True))
            if keep or number == 0 or near[number - 1]
        ]
    return Listing(tuple(rows))
