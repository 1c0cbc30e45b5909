"""What a notebook of the course is made ready with, and that nothing of it happens by an import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import requests
from docker.errors import NotFound
from IPython.core.interactiveshell import InteractiveShell

from dockerlab.notebook import session

UNTOUCHED = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = dict(os.environ), dict(shell.display_formatter.formatters["text/html"].deferred_printers), shell.custom_exceptions
import docker.errors, requests
import dockerlab.notebook.session, dockerlab.course.grading, dockerlab.cli
after = dict(os.environ), dict(shell.display_formatter.formatters["text/html"].deferred_printers), shell.custom_exceptions
assert before == after
assert not hasattr(docker.errors.DockerException, "_render_traceback_") and not hasattr(requests.RequestException, "_render_traceback_")
"""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    shell = InteractiveShell.instance()
    session.prepare()
    session.prepare()
    yield shell
    InteractiveShell.clear_instance()


def test_an_import_changes_nothing() -> None:
    subprocess.run([sys.executable, "-c", UNTOUCHED], check=True, timeout=120)


def test_outside_a_notebook_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    session.prepare()
    assert os.environ["PATH"] == "/usr/bin"


def test_the_courses_command_is_found_once(shell: InteractiveShell) -> None:
    first, *others = os.environ["PATH"].split(os.pathsep)
    assert (os.path.dirname(sys.executable) == first) and others == ["/usr/bin"]  # noqa: PTH120


def test_errors_of_docker_py_are_shown_without_their_stack(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.user_ns |= {"NotFound": NotFound, "requests": requests}
    shell.run_cell('raise NotFound("No such container: x", explanation="No such container: x")')
    said = capsys.readouterr().out
    assert "NotFound: There is no container x" in said and "  do:  " in said and "Traceback" not in said
    done = shell.run_cell('requests.get("http://127.0.0.1:1/")')  # of no engine: with its stack
    assert "ConnectionError" in capsys.readouterr().out and isinstance(
        done.error_in_exec, requests.ConnectionError
    )
