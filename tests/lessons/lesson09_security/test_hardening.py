"""The run line of lab 09 is read as docker would read it, without what the check sets itself."""

from __future__ import annotations

import pytest

from dockerlab.course.grading.judging import NotStarted
from dockerlab.lessons.lesson09_security.measures import BadRunLine, run_line

VALUES = {"IMAGE": "gate:1", "KEY_FILE": "/tmp/a key", "HARBOUR_KEY": "k", "SOCKET": "/s"}


def test_variables_are_filled_in_and_the_checks_own_options_are_left_out() -> None:
    text = '#!/bin/sh\n# docker run no\ndocker run -d --name gate --rm -p 127.0.0.1:80:9000/tcp \\\n  --read-only -v "$KEY_FILE":/k:ro $IMAGE serve -p 3\n'
    assert run_line(text, VALUES) == (
        ["--read-only", "-v", "/tmp/a key:/k:ro", "gate:1", "serve", "-p", "3"],
        9000,
    )


def test_options_with_an_equals_sign_and_no_port() -> None:
    assert run_line("docker container run --publish=8080:8081 --restart=always --user=5 $IMAGE", VALUES) == (
        ["--user=5", "gate:1"],
        8081,
    )
    assert run_line("docker run $IMAGE", VALUES) == (["gate:1"], 8080)


def test_what_cannot_be_run_is_said() -> None:
    with pytest.raises(NotStarted):
        run_line("echo docker run\n", VALUES)
    with pytest.raises(BadRunLine):
        run_line("docker run 'open $IMAGE", VALUES)
    with pytest.raises(BadRunLine):
        run_line("docker run --read-only", VALUES)
