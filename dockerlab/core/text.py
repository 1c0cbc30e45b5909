"""Text that shows as it is in a notebook and in a terminal."""

from __future__ import annotations


class Text(str):
    """A text that a notebook prints as it is."""

    def __repr__(self) -> str:
        return str(self)
