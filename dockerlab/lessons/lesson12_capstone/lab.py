"""Lab 12, the capstone: a bare repository becomes a service alone. The ten scores of the scorecard are the criteria."""

from __future__ import annotations

from collections.abc import Callable

from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab, Outcome, Submission
from dockerlab.lessons.lesson12_capstone import scoring
from dockerlab.lessons.lesson12_capstone.scoring import LAB as ASKED


def _prepare(submission: Submission) -> None:
    """Measure all ten at once. Asks the engine. Raises BuildFailed."""
    submission.state["card"] = scoring.judged(submission, ASKED, "You")


def _held(key: str) -> Callable[[Submission], Outcome]:
    def measure(submission: Submission) -> Outcome:
        score = submission.state["card"][key]
        return Outcome(score.ok, f"{score.written}; {score.said}")

    return measure


LAB = Lab(
    number="12",
    name="ship it alone",
    files=("Dockerfile",),
    prepare=_prepare,
    criteria=criteria.read(
        "12",
        {
            "build": _held("build"),
            "size": _held("size"),
            "rebuild": _held("rebuild"),
            "start": _held("start"),
            "agreement": _held("agreement"),
            "health": _held("health"),
            "latency": _held("latency"),
            "user": _held("user"),
            "secrets": _held("secrets"),
            "lint": _held("lint"),
        },
        build_seconds=ASKED.build_seconds,
        context_kb=ASKED.context_bytes / 1e3,
        disk_mb=ASKED.disk_bytes / 1e6,
        new_mb=ASKED.new_bytes / 1e6,
        start_seconds=ASKED.start_seconds,
        latency_ms=ASKED.latency_ms,
    ),
)
