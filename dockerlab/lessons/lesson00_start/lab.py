"""Lab 00: the smallest image that does something; lesson 00 plays it through to show how labs work."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from dockerlab.containers.container import remove
from dockerlab.course.grading import criteria
from dockerlab.course.grading.judging import BOUNDS, Lab, Outcome, Submission, log_of
from dockerlab.images import base_images

LINE = "Hello from the harbour"
SECONDS = 10


@dataclass(frozen=True)
class _Ran:
    """What one container of the image did; `exit_code` is None where it did not end in time."""

    output: str
    exit_code: int | None


def _image(submission: Submission) -> str:
    def make() -> str:
        base_images.ensure(base_images.SLIM, submission.client)
        return submission.build("hello").tag or ""

    return submission.cached("image", make)


def _run(submission: Submission) -> _Ran:
    def make() -> _Ran:
        container = submission.client.containers.run(
            _image(submission), detach=True, network_mode="none", labels=submission.labels(), **BOUNDS
        )
        submission.callback(remove, container)
        try:
            exit_code = container.wait(timeout=SECONDS)["StatusCode"]
        except (requests.ReadTimeout, requests.ConnectionError):
            exit_code = None
            container.kill()
        return _Ran(log_of(container).strip(), exit_code)

    return submission.cached("run", make)


def _builds(submission: Submission) -> Outcome:
    return Outcome(bool(_image(submission)), "it builds")


def _says(submission: Submission) -> Outcome:
    output = _run(submission).output
    first, _, rest = output.partition("\n")
    return Outcome(output == LINE, repr(first[:60]) + (" and more" if rest else "") if first else "nothing")


def _ends(submission: Submission) -> Outcome:
    exit_code = _run(submission).exit_code
    return Outcome(
        exit_code == 0, f"still running after {SECONDS} s" if exit_code is None else f"exit code {exit_code}"
    )


LAB = Lab(
    number="00",
    name="say hello",
    files=("Dockerfile",),
    criteria=criteria.read(
        "00",
        {
            "builds": _builds,
            "says": _says,
            "ends": _ends,
        },
        SLIM=base_images.SLIM,
        LINE=LINE,
        SECONDS=SECONDS,
    ),
)
