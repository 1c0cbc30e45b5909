"""A learner's functions are called in a process of their own, whatever they do."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from dockerlab.core import polling
from dockerlab.course.grading.calls import Caller, CallFailed, packed, unpacked
from dockerlab.course.grading.judging import NotStarted

WORK = """
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

class Trap:
    def __reduce__(self):
        return (os.system, ("touch trapped",))

def trap(client):
    return Trap()

def same(client, value):
    return value

def own_lines(client):
    for handle in range(3, 20):
        try:
            os.write(handle, b"[[[[" * 100_000 + b"\\n")
        except OSError:
            pass
    return "right"

def much(client, size):
    return "x" * size

def memory(client):
    return len(bytearray(6 << 30))

def forks(client):
    for _ in range(400):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    time.sleep(60)

def child(client):
    import subprocess
    return subprocess.Popen(["sleep", "97"]).pid

def circle(client):
    them = []
    them.append(them)
    return them
"""

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


def test_what_a_function_returns_is_never_code_that_runs_here(caller: Caller) -> None:
    with pytest.raises(
        CallFailed, match=r"trap\(\) returned a Trap, which cannot be looked at\. Return text"
    ):
        caller.call("trap")
    assert not (caller.folder / "trapped").exists()
    with pytest.raises(CallFailed, match="where its result belongs|ended the whole program"):
        caller.call("own_lines")
    with pytest.raises(CallFailed, match="holds itself"):
        caller.call("circle")
    assert caller.call("add", 1, 1) == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        0.1,
        float("inf"),
        "é\0\n\ud800",
        b"\0\xff",
        [1, ["a"]],
        (1, (b"2",)),
        {1, 2},
        {"a": {1: None}, (1, 2): [b"x"]},
        Path("/a/b c"),
        {},
        [],
        {"bytes": "eA=="},
    ],
    ids=repr,
)
def test_plain_values_come_back_as_they_were(value: object) -> None:
    back = unpacked(json.loads(json.dumps(packed(value))))
    assert back == value and type(back) is type(value)


def test_a_number_that_is_none_comes_back(caller: Caller) -> None:
    assert math.isnan(caller.call("same", float("nan")))


def test_a_result_and_memory_have_bounds(caller: Caller) -> None:
    assert caller.call("much", 1_000_000) == "x" * 1_000_000
    with pytest.raises(CallFailed, match=r"returned 50 MB; at most 5 MB"):
        caller.call("much", 50_000_000)
    with pytest.raises(CallFailed, match="MemoryError"):
        caller.call("memory")
    assert caller.call("add", 1, 1) == 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")
def test_processes_have_a_bound_and_end_with_the_worker(caller: Caller) -> None:
    with pytest.raises(CallFailed, match="more than 50 processes"):
        caller.call("forks")
    pid = caller.call("child")
    assert "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    caller.close()
    assert polling.wait_until(
        lambda: not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text(), 5
    )
