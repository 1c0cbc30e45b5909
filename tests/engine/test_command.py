"""The `docker` command is run for the course's engine, with an end, and what keeps it from running is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.engine.command import NoDockerCommand, docker


class Refused(CourseError):
    pass


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` of ours, first on the path."""
    file = tmp_path / "docker"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return file


def _write(script: Path, text: str) -> None:
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)


def test_words_and_engine_reach_the_command_and_its_code_comes_back(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(script, 'printf "%s|" "$@"; printf "%s" "$DOCKER_HOST"; cat; printf "\\377" >&2; exit 3')
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    done = docker("run", "a b", "--", "$HOME")
    assert (done.returncode, done.stdout) == (3, "run|a b|--|$HOME|tcp://127.0.0.1:1")
    assert done.stderr == "\N{REPLACEMENT CHARACTER}"
    assert docker("x", env={"PATH": str(script.parent)}).stdout == "x|"


def test_no_command_and_no_end_are_sentences_of_the_callers_kind(script: Path) -> None:
    with pytest.raises(NoDockerCommand, match="There is no `docker` command on this machine"):
        docker("ps", env={"PATH": "/nowhere"})
    _write(script, "exec sleep 30")
    with pytest.raises(Refused, match=r"`docker compose up` took longer than 1 s\."):
        docker("compose", "up", "-d", timeout=1, raises=Refused)
