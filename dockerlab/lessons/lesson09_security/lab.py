"""Lab 09: a service that works, and leaves everything to an intruder. The learner takes it away, in the image and in the run line."""

from __future__ import annotations

from collections.abc import Callable

from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import Lab, Outcome, Submission
from dockerlab.lessons.lesson09_security import measures as gate


def _refused(*attempts: str) -> Callable[[Submission], Outcome]:
    return lambda submission: gate.refused(submission, attempts)


LAB = Lab(
    number="09",
    name="harden a service",
    files=("Dockerfile", "run.sh"),
    prepare=gate.prepare,
    criteria=criteria.read(
        "09",
        {
            "untouched": gate.untouched,
            "builds": gate.builds,
            "serves": gate.serves,
            "leaks": gate.nowhere,
            "engine": _refused("engine"),
            "host": _refused("kernel", "host"),
            "secrets": _refused("secrets"),
            "root": _refused("root", "chown", "raw"),
            "code": _refused("code"),
            "setuid": _refused("setuid"),
            "install": _refused("install"),
            "processes": _refused("processes"),
            "shell": _refused("shell"),
        },
    ),
)
