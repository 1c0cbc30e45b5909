"""Call a learner's functions in a process of their own: an endless loop is ended, `sys.exit` and prints do no harm.

One worker serves many calls: `python -m dockerlab.course.grading.calls FOLDER MODULE` reads calls and writes results, a line of JSON each, so that
nothing of the learner's runs in the process that judges. What JSON does not know is an object with one key: {"bytes": base64},
{"tuple": […]}, {"set": […]}, {"path": text}, {"number": "nan"}, {"dict": [[key, value], …]}.
Each function gets a connection to the engine as its first argument.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from threading import Event, Thread, Timer
from typing import IO, Any

from dockerlab.core.errors import CourseError
from dockerlab.course.grading.judging import NotStarted

PATIENCE, BEGIN = 15, 180  # seconds for a call, and for the start of a worker
LARGEST = 5_000_000  # bytes of one result, as JSON
MEMORY, CPU_SECONDS, FILE_BYTES = (
    4 << 30,
    300,
    200_000_000,
)  # address space; CPU time of the whole check; each file that is written
PROCESSES = 50  # that a call may have at a time


class CallFailed(CourseError):
    """A learner's function raised, did not return in time, or returned what cannot be looked at."""


class Caller:
    """The functions of one module in a learner's folder. `close` ends the worker and what it started."""

    def __init__(self, folder: Path, module: str = "work", timeout: float = PATIENCE) -> None:
        self.folder, self.module, self.timeout = folder, module, timeout
        self._worker: subprocess.Popen[bytes] | None = None

    def call(self, function: str, *arguments: Any) -> Any:
        """`function(client, *arguments)` of the module; plain values only, as in `packed`. Talks to the engine.

        Raises NotImplementedError as the function does, NotStarted where it is not there, and CallFailed for all else, with what the
        learner should see: the exception and the line of the module that raised it.
        """
        worker, line = self._start(), b""
        with _watched(worker, self.timeout) as ended:
            try:
                stdin, stdout = _pipes(worker)
                stdin.write(json.dumps([function, packed(arguments)]).encode() + b"\n")
                stdin.flush()
                line = stdout.readline(LARGEST + 1)
                kind, value = json.loads(line)
                value = unpacked(value)
            except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                self.close()
                raise self._failure(function, ended, line) from error
        if kind == "value":
            return value
        if kind == "missing":
            raise NotStarted(f"{self.module}.py has no function {function}().")
        if kind == "todo":
            raise NotImplementedError(value or f"{function}() is not written yet")
        raise CallFailed(str(value))

    def _failure(self, function: str, ended: list[str], line: bytes) -> CallFailed:
        if "late" in ended:
            return CallFailed(
                f"{function}() did not return within {self.timeout:.0f} s.",
                "It may wait for a container that never ends.",
            )
        if "many" in ended:
            return CallFailed(
                f"{function}() started more than {PROCESSES} processes.", fix="Let it start none, or a few."
            )
        if line.endswith(b"\n"):
            return CallFailed(
                f"{function}() wrote something else where its result belongs.",
                fix="Return the result instead.",
            )
        return CallFailed(f"{function}() ended the whole program.", fix="Return the result instead.")

    def close(self) -> None:
        """End the worker and every process of its group, whatever they do."""
        worker, self._worker = self._worker, None
        if worker is not None:
            _kill(worker)
            worker.wait()
            for pipe in _pipes(worker):
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._worker is None or self._worker.poll() is not None:
            self.close()
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "dockerlab.course.grading.calls", str(self.folder), self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
            )
            with _watched(
                self._worker, BEGIN
            ):  # what our own imports take on a busy machine is not the learner's time
                _pipes(self._worker)[1].readline(100)
        return self._worker


def _pipes(worker: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Its stdin and stdout, which a worker always has."""
    assert worker.stdin is not None and worker.stdout is not None
    return worker.stdin, worker.stdout


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker with its process group; a group outlives its leader, so its number is not used again meanwhile."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)
    if worker.poll() is None:
        worker.kill()


@contextlib.contextmanager
def _watched(worker: subprocess.Popen[bytes], timeout: float) -> Iterator[list[str]]:
    """Kill the worker after `timeout` seconds, or when its group has too many processes; the list says which it was."""
    ended: list[str] = []
    over = Event()

    def end(why: str) -> None:
        ended.append(why)
        _kill(worker)

    def count() -> None:
        # The kernel's own limit, RLIMIT_NPROC, counts all processes of a user, and does not hold for root.
        while not over.wait(0.1):
            if _in_group(worker.pid) > PROCESSES:
                end("many")

    timer, counter = Timer(timeout, end, ["late"]), Thread(target=count, daemon=True)
    timer.start()
    counter.start()
    try:
        yield ended
    finally:
        timer.cancel()
        over.set()


def _in_group(leader: int) -> int:
    """How many processes a group has, from /proc (proc_pid_stat(5), field 5); 0 on a system without one."""
    found = 0
    with contextlib.suppress(OSError):
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    found += (place / "stat").read_bytes().rpartition(b")")[2].split()[2] == str(
                        leader
                    ).encode()
    return found


def packed(value: Any) -> Any:
    """A value as JSON can carry it. Raises TypeError for anything but None, texts, bytes, numbers, paths, and collections of these."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": repr(float(value))}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, list):
        return [packed(each) for each in value]
    if isinstance(value, (tuple, set, frozenset)):
        return {"tuple" if isinstance(value, tuple) else "set": [packed(each) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[packed(key), packed(each)] for key, each in value.items()]}
    raise TypeError(type(value).__name__)


def unpacked(value: Any) -> Any:
    """The value that `packed` made this of. Raises ValueError, TypeError or KeyError for anything else."""
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    makers: dict[str, Callable[[], Any]] = {
        "bytes": lambda: base64.b64decode(content, validate=True), "path": lambda: Path(content), "number": lambda: float(content),
        "tuple": lambda: tuple(unpacked(each) for each in content), "set": lambda: {unpacked(each) for each in content},
        "dict": lambda: {unpacked(key): unpacked(each) for key, each in content},
    }  # fmt: skip
    return makers[kind]()


def serve(folder: Path, module: str, calls: IO[bytes], results: IO[bytes]) -> None:
    """Say that it is ready, then answer calls until there are none: ["value", it], ["missing", ""], ["todo", text] or ["error", text]."""
    from dockerlab.engine import connection

    results.write(b"ready\n")
    results.flush()
    sys.path.insert(0, str(folder))
    client, loaded = None, None
    for line in calls:
        function, arguments = json.loads(line)
        try:
            loaded = loaded or importlib.import_module(module)
            client = client or connection.connect()
            called = getattr(loaded, function, None)
            answer = (
                _result(function, called(client, *unpacked(arguments)))
                if callable(called)
                else ["missing", ""]
            )
        except NotImplementedError as error:
            answer = ["todo", str(error)]
        except (Exception, SystemExit) as error:
            answer = ["error", _explain(error, module)]
        results.write(json.dumps(answer).encode() + b"\n")
        results.flush()


def _result(function: str, value: Any) -> list[Any]:
    try:
        answer = ["value", packed(value)]
    except (TypeError, RecursionError) as error:
        kind = str(error) if isinstance(error, TypeError) else "collection that holds itself"
        return [
            "error",
            f"{function}() returned a {kind}, which cannot be looked at. Return text, bytes, numbers, or lists and dicts of these.",
        ]
    size = len(json.dumps(answer))
    return (
        answer
        if size < LARGEST
        else [
            "error",
            f"{function}() returned {size / 1e6:,.0f} MB; at most {LARGEST / 1e6:.0f} MB can be looked at.",
        ]
    )


def _explain(error: BaseException, module: str) -> str:
    """The exception in one line, with the line of the learner's module that led to it."""
    text = " ".join(str(error).split())[:200]
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).stem == module
    ]
    where = f"{module}.py line {lines[-1]}: " if lines else f"{module}.py: "
    return f"{where}{type(error).__name__}{f': {text}' if text else ''}"


def _bounded() -> None:
    """Limit memory, CPU time and files of this process and of what it starts, where the system knows such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, most in (("AS", MEMORY), ("CPU", CPU_SECONDS), ("FSIZE", FILE_BYTES), ("CORE", 0)):
        with contextlib.suppress(ValueError, OSError):  # one that is lower already stays
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (most, most))


def main() -> None:
    """Keep the pipe for results, and let everything else that is printed go nowhere."""
    results = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    _bounded()
    serve(Path(sys.argv[1]), sys.argv[2], sys.stdin.buffer, results)


if __name__ == "__main__":
    main()
