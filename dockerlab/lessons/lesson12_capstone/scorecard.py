"""What the capstone is judged by: ten scores of one service, each a value against a target. Pure; `capstone` measures them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Targets:
    """What is asked: seconds, bytes, milliseconds. `new_bytes` is what an edit of the code may add to the image."""

    build_seconds: float = 120
    context_bytes: int = 200_000
    disk_bytes: int = 310_000_000
    rebuild_seconds: float = 20
    new_bytes: int = 1_000_000
    start_seconds: float = 10
    latency_ms: float = 80


LESSON, LAB = Targets(), Targets(disk_bytes=210_000_000)


@dataclass(frozen=True)
class Score:
    """One of the ten: its value against its target, in `unit` (less is better), whether it holds, and what was seen. NaN: not measured."""

    key: str
    title: str
    value: float
    target: float
    unit: str
    ok: bool
    said: str

    @property
    def written(self) -> str:
        """The value with its unit."""
        if math.isnan(self.value):
            return "not measured"
        if self.target == 0:
            return f"{self.value:.0f} {self.unit.removesuffix('s') if self.value == 1 else self.unit}"
        return f"{self.value:,.{0 if self.value >= 20 else 1}f} {self.unit}"


TITLES = {
    "build": ("build from nothing", "s"), "size": ("size on disk", "MB"), "rebuild": ("rebuild after an edit", "s"),
    "start": ("start to first answer", "s"), "agreement": ("agreement with the app", "other answers"), "health": ("health", "wrong states"),
    "latency": ("latency, 95 of 100 below", "ms"), "user": ("user and rights", "extra rights"), "secrets": ("secrets", "leaks"),
    "lint": ("lint", "findings"),
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Scorecard:
    """The ten scores of one folder."""

    name: str
    scores: tuple[Score, ...]

    def __getitem__(self, key: str) -> Score:
        return next(score for score in self.scores if score.key == key)

    @property
    def held(self) -> int:
        """How many of the ten hold."""
        return sum(score.ok for score in self.scores)

    @property
    def failing(self) -> list[str]:
        """The keys of those that do not hold."""
        return [score.key for score in self.scores if not score.ok]

    def frame(self) -> pd.DataFrame:
        """One row a score: holds, value, target, what was seen."""
        rows = [
            (
                score.title,
                "✓" if score.ok else "✗",
                score.written,
                f"{score.target:g} {score.unit}",
                score.said,
            )
            for score in self.scores
        ]
        return pd.DataFrame(rows, columns=["", "holds", "measured", "at most", "seen"]).set_index("")

    def __repr__(self) -> str:
        return f"Scorecard({self.name}: {self.held} of {len(self.scores)})"


def beside(cards: Mapping[str, Scorecard]) -> pd.DataFrame:
    """Several scorecards side by side, a column each: ✓ or ✗ and the value."""
    return pd.DataFrame(
        {
            name: {score.title: f"{'✓' if score.ok else '✗'} {score.written}" for score in card.scores}
            for name, card in cards.items()
        }
    )
