"""What `docker buildx build --progress=plain` prints becomes a report: recorded lines, no engine."""

from __future__ import annotations

from dockerlab.lessons.lesson04_cache import plain_progress

ALONE = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#4 [1/5] FROM docker.io/library/python:3.11-slim-bookworm
#4 CACHED

#6 [2/5] WORKDIR /opt/x
#6 DONE 0.0s

#7 [3/5] RUN pip install itsdangerous==2.2.0
#7 1.625 Collecting itsdangerous==2.2.0
#7 DONE 2.0s
#10 exporting to image
#10 DONE 0.2s
"""
HELPED = """\
#6 importing cache manifest from 127.0.0.1:33022/service:cache
#6 DONE 0.1s
#7 [3/5] RUN pip install itsdangerous==2.2.0
#7 CACHED
#8 [2/5] WORKDIR /opt/x
#8 CACHED
#11 [4/5] RUN false
#11 pulling sha256:9addb4 0.1s done
#11 ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1
"""


def test_steps_times_and_what_was_cached() -> None:
    report = plain_progress.read(ALONE.splitlines())
    assert report.ran == ["[2/5] WORKDIR /opt/x", "[3/5] RUN pip install itsdangerous==2.2.0"]
    assert report.instructions[1].seconds == 2.0


def test_cached_steps_in_order_and_an_error() -> None:
    report = plain_progress.read(HELPED.splitlines())
    assert report.cached == ["[2/5] WORKDIR /opt/x", "[3/5] RUN pip install itsdangerous==2.2.0"]
    assert report.instructions[2].error.endswith("exit code: 1")


def test_nothing_gives_no_steps() -> None:
    assert plain_progress.read(["ERROR: failed to connect"]).instructions == []
