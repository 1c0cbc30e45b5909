"""A learner's functions are called in a process of their own, whatever they do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dockerlab.checks.calls import Caller, CallFailed
from dockerlab.checks.core import NotStarted

WORK = '''
import sys, time

def add(client, a, b):
    print("this goes nowhere")
    return a + b

def later(client):
    raise NotImplementedError

def fail(client):
    values = {}
    return values["key"]

def leave(client):
    sys.exit("enough")

def wait(client):
    time.sleep(60)

def strange(client):
    return lambda: 0

def connected(client):
    return client.ping()

import os
def die(client):
    os._exit(3)
'''

pytestmark = pytest.mark.engine


@pytest.fixture
def caller(client, tmp_path: Path):
    (tmp_path / "work.py").write_text(WORK)
    it = Caller(tmp_path, timeout=20)
    yield it
    it.close()


def test_values_come_back_and_prints_do_no_harm(caller: Caller) -> None:
    assert caller.call("add", 1, 2) == 3
    assert caller.call("add", b"a", b"b") == b"ab"
    assert caller.call("connected") is True


def test_what_is_not_there_or_not_written_is_not_started(caller: Caller) -> None:
    with pytest.raises(NotStarted, match="no function missing"):
        caller.call("missing")
    with pytest.raises(NotImplementedError, match="later"):
        caller.call("later")


def test_an_error_names_the_learners_line(caller: Caller) -> None:
    with pytest.raises(CallFailed, match=r"work.py line 13: KeyError: 'key'"):
        caller.call("fail")
    with pytest.raises(CallFailed, match="SystemExit: enough"):
        caller.call("leave")
    assert caller.call("add", 1, 1) == 2


def test_what_cannot_be_looked_at_is_an_error(caller: Caller) -> None:
    with pytest.raises(CallFailed):
        caller.call("strange")
    assert caller.call("add", 1, 1) == 2


def test_an_endless_call_is_ended_and_the_next_one_works(caller: Caller) -> None:
    assert caller.call("add", 1, 1) == 2
    caller.timeout, started = 1, time.monotonic()
    with pytest.raises(CallFailed, match="did not return within 1 s"):
        caller.call("wait")
    assert time.monotonic() - started < 10
    caller.timeout = 20
    assert caller.call("add", 2, 2) == 4


def test_a_program_that_dies_is_named_and_the_next_call_works(caller: Caller) -> None:
    with pytest.raises(CallFailed, match="ended the whole program"):
        caller.call("die")
    assert caller.call("add", 2, 2) == 4


def test_a_module_that_is_no_python_is_an_error_not_a_crash(tmp_path: Path, client) -> None:
    (tmp_path / "work.py").write_text("def load(:\n")
    it = Caller(tmp_path, timeout=20)
    with pytest.raises(CallFailed, match="SyntaxError"):
        it.call("load")
    it.close()
