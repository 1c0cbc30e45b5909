"""Numbers with their units, as text."""

from __future__ import annotations


def mb(size: float) -> str:
    """A size in decimal megabytes (10⁶ bytes), as the whole course writes it."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"
