"""Call a learner's functions in a process of their own: an endless loop is ended, `sys.exit` and prints do no harm.

One worker serves many calls: `python -m dockerlab.checks.calls FOLDER MODULE` reads pickled calls and writes pickled results.
Each function gets a connection to the engine as its first argument.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from threading import Timer
from typing import IO, Any

from dockerlab.checks.core import NotStarted
from dockerlab.errors import CourseError

PATIENCE = 15  # seconds


class CallFailed(CourseError):
    """A learner's function raised, did not return in time, or returned what cannot be looked at."""


class Caller:
    """The functions of one module in a learner's folder. `close` ends the worker."""

    def __init__(self, folder: Path, module: str = "work", timeout: float = PATIENCE) -> None:
        self.folder, self.module, self.timeout = folder, module, timeout
        self._worker: subprocess.Popen[bytes] | None = None

    def call(self, function: str, *arguments: Any) -> Any:
        """`function(client, *arguments)` of the module; plain values only. Talks to the engine.

        Raises NotImplementedError as the function does, NotStarted where it is not there, and CallFailed for all else, with what the
        learner should see: the exception and the line of the module that raised it.
        """
        worker, late = self._start(), []
        timer = Timer(self.timeout, lambda: (late.append(True), worker.kill()))
        timer.start()
        try:
            pickle.dump((function, arguments), worker.stdin)
            worker.stdin.flush()
            kind, value = pickle.load(worker.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.close()
            if late:
                raise CallFailed(f"{function}() did not return within {self.timeout:.0f} s.", "It may wait for a container that never ends.") from error
            raise CallFailed(f"{function}() ended the whole program.", fix="Return the result instead.") from error
        finally:
            timer.cancel()
        if kind == "value":
            return value
        if kind == "missing":
            raise NotStarted(f"{self.module}.py has no function {function}().")
        if kind == "todo":
            raise NotImplementedError(value or f"{function}() is not written yet")
        raise CallFailed(value)

    def close(self) -> None:
        """End the worker, whatever it does."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._worker is None or self._worker.poll() is not None:
            self.close()
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "dockerlab.checks.calls", str(self.folder), self.module],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=self.folder,
            )
        return self._worker


def serve(folder: Path, module: str, calls: IO[bytes], results: IO[bytes]) -> None:
    """Answer calls until there are none: ("value", it), ("missing", ""), ("todo", text) or ("error", text)."""
    from dockerlab import engine

    sys.path.insert(0, str(folder))
    client, loaded = None, None
    while True:
        try:
            function, arguments = pickle.load(calls)
        except EOFError:
            return
        try:
            loaded = loaded or importlib.import_module(module)
            client = client or engine.connect()
            called = getattr(loaded, function, None)
            answer = ("value", called(client, *arguments)) if callable(called) else ("missing", "")
            message = pickle.dumps(answer)
        except NotImplementedError as error:
            message = pickle.dumps(("todo", str(error)))
        except (Exception, SystemExit) as error:
            message = pickle.dumps(("error", _explain(error, module)))
        results.write(message)
        results.flush()


def _explain(error: BaseException, module: str) -> str:
    """The exception in one line, with the line of the learner's module that led to it."""
    text = " ".join(str(error).split())[:200]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).stem == module]
    where = f"{module}.py line {lines[-1]}: " if lines else f"{module}.py: "
    return f"{where}{type(error).__name__}{f': {text}' if text else ''}"


def main() -> None:
    """Keep the pipe for results, and let everything else that is printed go nowhere."""
    results = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    serve(Path(sys.argv[1]), sys.argv[2], sys.stdin.buffer, results)


if __name__ == "__main__":
    main()
