"""What a service did under limits, as data."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class UnderLimits:
    """One try: limits in MB (10⁶ bytes) and CPUs; median and slowest answer in milliseconds, None where it did not answer."""

    memory_mb: int
    cpus: float
    median_ms: float | None
    slowest_ms: float | None
    exit_code: int | None
    oom_killed: bool

    @property
    def survived(self) -> bool:
        """Whether it answered every request."""
        return self.median_ms is not None

    def __str__(self) -> str:
        limits = f"{self.memory_mb} MB, {self.cpus:g} CPU{'' if self.cpus == 1 else 's'}"
        if self.survived:
            return f"{limits}: {self.median_ms:.0f} ms (slowest {self.slowest_ms:.0f} ms)"
        how = "killed by the kernel for memory" if self.oom_killed else "ended"
        return f"{limits}: {how}, exit code {self.exit_code}"


def frame(tries: list[UnderLimits]) -> pd.DataFrame:
    """One row a try: memory, CPUs, median and slowest answer, and what became of the container. Pure."""
    rows = [
        (
            each.memory_mb,
            each.cpus,
            each.median_ms,
            each.slowest_ms,
            "answers" if each.survived else ("OOM killed" if each.oom_killed else "ended"),
        )
        for each in tries
    ]
    return pd.DataFrame(rows, columns=["memory, MB", "CPUs", "median, ms", "slowest, ms", "outcome"]).round(1)
