"""Lab 00: the smallest image that does something; lesson 00 plays it through to show how labs work."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from dockerlab.containers.container import remove
from dockerlab.course.grading.judging import BOUNDS, Criterion, Lab, Outcome, Submission, log_of
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
    criteria=(
        Criterion(
            "builds",
            "The image builds",
            "What does not build cannot run.",
            "Does the file begin with a FROM line, and is every word of it spelt as in the lesson?",
            f"First line: FROM {base_images.SLIM}. Each further line begins with an instruction, such as CMD.",
            "it builds",
            _builds,
        ),
        Criterion(
            "says",
            f"A container of it prints `{LINE}` and nothing else",
            "Others read what it prints.",
            "What runs when the image is built, and what runs when a container starts? RUN and CMD are not the same.",
            f'The last line: CMD ["python", "-c", "print(\'{LINE}\')"].',
            repr(LINE),
            _says,
            needs=("builds",),
        ),
        Criterion(
            "ends",
            f"The container ends by itself within {SECONDS} s, with exit code 0",
            "0 is how a program says that all went well.",
            "Which code does your program end with, and does it end at all? A container runs as long as its main process.",
            "Let print be the last thing that the command does: no sleep, no server, no sys.exit with another number.",
            "exit code 0",
            _ends,
            needs=("builds",),
        ),
    ),
)
