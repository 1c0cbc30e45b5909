"""A build as data: its steps, what they did and took. Nothing here asks an engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pandas as pd

HOUSEKEEPING = (
    "[internal]",
    "exporting to",
    "importing cache",
    "resolve image config",
    "docker-image://",
    "preparing build cache",
)
PLACE = re.compile(
    r"\[\s*(?:(?P<stage>\S+)\s+)?(?P<number>\d+)/\d+\]"
)  # numbers below 10 are padded where there are more


@dataclass
class Step:
    """One vertex of the build graph. Times in seconds from the first step's start."""

    name: str
    digest: str = ""
    inputs: tuple[str, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    cached: bool = False
    done: bool = False
    log: str = ""
    error: str = ""

    @property
    def stage(self) -> str:
        """The stage it belongs to, "" where the Dockerfile names none."""
        match = PLACE.match(self.name)
        return (match["stage"] or "") if match else ""

    @property
    def number(self) -> int:
        """Its place in its stage, as BuildKit counts: the 3 of "[3/7] COPY app app"; 0 where it has none."""
        match = PLACE.match(self.name)
        return int(match["number"]) if match else 0

    @property
    def internal(self) -> bool:
        """Whether it is the builder's own housekeeping rather than an instruction of the Dockerfile."""
        return self.name.startswith(HOUSEKEEPING) or not self.name.startswith(("[", "Step"))

    @property
    def keyword(self) -> str:
        """The instruction's first word in capitals, "" where the step is none; of a trigger that of the instruction behind ONBUILD."""
        words = self.name.partition("] ")[2].removeprefix("ONBUILD ").split()
        return words[0].upper() if words and not self.internal else ""

    def line(self) -> str:
        """`cached` or its seconds, and its name."""
        return f"{'cached' if self.cached else f'{self.seconds:5.1f} s':>7}  {self.name}"


@dataclass(repr=False)
class BuildReport:
    """What a build did. `seconds` is from sending the context until the image was there.

    `began` is when its first step did, in seconds since 1970 by the engine's clock; 0 where the builder gives no times.
    """

    image_id: str
    tag: str | None
    steps: list[Step] = field(default_factory=list)
    seconds: float = 0.0
    context_bytes: int = 0
    began: float = 0.0

    @property
    def instructions(self) -> list[Step]:
        """The steps that stand in the Dockerfile, without the FROM lines, which do nothing once the base is here.

        In the order they started; within a stage in that of the Dockerfile, since cached steps are found in any order.
        """
        steps = _once([step for step in self.steps if not step.internal and "] FROM " not in step.name])
        stages: dict[str, list[Step]] = {}
        for step in steps:
            stages.setdefault(step.stage, []).append(step)
        following = {
            stage: iter(sorted(each, key=lambda step: step.number)) for stage, each in stages.items()
        }
        return [next(following[step.stage]) for step in steps]

    @property
    def ran(self) -> list[str]:
        """Names of the instructions that were carried out."""
        return [step.name for step in self.instructions if not step.cached]

    @property
    def cached(self) -> list[str]:
        """Names of the instructions whose result came from the cache."""
        return [step.name for step in self.instructions if step.cached]

    def frame(self) -> pd.DataFrame:
        """One row an instruction: step, stage, seconds, cached."""
        rows = [(step.name, step.stage, round(step.seconds, 2), step.cached) for step in self.instructions]
        return pd.DataFrame(rows, columns=["step", "stage", "seconds", "cached"])

    def text(self) -> str:
        """One line an instruction."""
        return "\n".join(step.line() for step in self.instructions)

    def __repr__(self) -> str:
        return f"BuildReport({self.tag}: {len(self.instructions)} steps)"


def _once(steps: list[Step]) -> list[Step]:
    """Each instruction once: without the download that an ADD of a URL begins with, and without the merge that ends a COPY --link."""
    kept: dict[str, Step] = {}
    for step in steps:
        if "] LINK " not in step.name:
            key = step.name if step.keyword == "ADD" else step.digest or step.name
            kept[key] = step if key not in kept else max(kept[key], step, key=lambda each: len(each.inputs))
    return list(kept.values())
