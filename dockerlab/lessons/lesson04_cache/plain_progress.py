"""What `docker buildx build --progress=plain` printed, as the steps of a report: for lessons that teach the command line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dockerlab.images.build_report import BuildReport, Step


def read(lines: Iterable[str]) -> BuildReport:
    """The steps with their times, and which were cached; the report has no image id. Lines of other kinds are passed over.

    A step whose result is fetched from a remote cache may print the download of its layers instead of CACHED: it did not run either.
    """
    steps: dict[str, Step] = {}
    for line in lines:
        if match := re.match(r"#(\d+) (\[.*)", line):
            steps.setdefault(match[1], Step(match[2]))
        elif (match := re.match(r"#(\d+) (?:CACHED|sha256:|extracting sha256:)", line)) and match[1] in steps:
            steps[match[1]].cached = steps[match[1]].done = True
        elif (match := re.match(r"#(\d+) DONE ([\d.]+)s", line)) and match[1] in steps:
            steps[match[1]].seconds, steps[match[1]].done = float(match[2]), True
        elif (match := re.match(r"#(\d+) ERROR:? (.*)", line)) and match[1] in steps:
            steps[match[1]].error = match[2]
    return BuildReport("", None, list(steps.values()))
