"""What an error of the engine, or of this machine's disk, means for the reader: one sentence each of what, why and what to do.

Lessons call docker-py directly, so its errors reach the reader. `explain` turns them into a CourseError; `in_notebooks` makes a
notebook show that instead of thirty lines of stack, and the `dockerlab` command prints it.
"""

from __future__ import annotations

import errno
import linecache
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import requests
from docker.errors import APIError, ContainerError, DockerException, ImageLoadError

from dockerlab.core.errors import CourseError

# What the engine's message contains -> what happened, what to do. {0} is the first group of the pattern.
_MEANINGS = (
    (r"no space left on device", "The engine's disk is full.",
     "Free some with `dockerlab clean`, look at what else lies there with `docker system df`, then repeat."),
    (r"Bind for \S*:(\d+) failed: port is already allocated|bind host port (?:for )?\S*?:(\d+):\S*: address already in use",
     "Port {0} of this machine is taken.",
     "Let the kernel choose one, ports={{'8000/tcp': ('127.0.0.1', None)}}, or stop what uses it: `docker ps` shows the ports of containers."),
    (r'container name "/?([^"]+)" is already in use', "A container named {0} exists already.",
     "Remove it with `docker rm -f {0}`, or choose another name."),
    (r"failed to resolve reference|pull access denied|failed to do request|lookup .*(?:no such host|server misbehaving|i/o timeout)|dial tcp|manifest unknown|"
     r"request canceled while waiting|Client\.Timeout exceeded", "The image is not on the engine, and no registry answers that has it.",
     "Run `dockerlab bases`, or check the image's name."),
    (r"no such image: ([^\s\"]+)", "There is no image {0} on the engine.", "Build it first, or run `dockerlab bases`."),
    (r"no such container: ([^\s\"]+)", "There is no container {0}: it was removed, or never made.", "Run the cell that starts it again."),
    (r'exec: "?([^":]+)"?: (?:executable file not found|stat .*no such file|no such file)', "The command {0} is not in the image.",
     "Compare CMD and ENTRYPOINT with what the image holds."),
    (r"client version \S+ is too old", "The API version that was asked for is too old for this engine.", "Unset DOCKER_API_VERSION."),
    (r"is too new\. Maximum supported API version is (\S+?)[\s.\"]*$", "This engine's API ends at version {0}, which is too old for what was asked.",
     "Upgrade the engine to Docker 26 or later, or unset DOCKER_API_VERSION."),
)  # fmt: skip
_FILES = {
    errno.EROFS: ("This folder is read-only.",
                  "Copy the course to a folder that you can write to; in a terminal you can also set DOCKERLAB_BUILD and DOCKERLAB_STATE to such folders."),
    errno.EACCES: ("A file may not be read or written by you.", "Change its owner or its permissions (`ls -l` shows them), or use a copy."),
    errno.EPERM: ("A file may not be changed by you.", "Change its owner or its permissions (`ls -l` shows them), or use a copy."),
    errno.ENOSPC: ("This machine's disk is full.", "Free some space (`df -h` shows where), then repeat."),
    errno.ELOOP: ("A symbolic link leads back to itself.", "Remove that link."),
    errno.EISDIR: ("There is a folder where a file should be.", "Move that folder away."),
    errno.ENOTDIR: ("There is a file where a folder should be.", "Move that file away."),
}  # fmt: skip


def explain(error: BaseException) -> CourseError | None:
    """The error in the reader's words; None for one that is not about the engine or a file."""
    if isinstance(error, CourseError):
        return error
    if isinstance(error, ContainerError):
        return _ended(error)
    if isinstance(error, APIError | ImageLoadError):
        return _refused(str(getattr(error, "explanation", "") or error))
    if isinstance(error, requests.RequestException | DockerException):
        return _silent(error)
    if isinstance(error, OSError) and error.errno in _FILES:
        what, fix = _FILES[error.errno]
        return CourseError(what, f"{error.filename or 'The file system'}: {error.strerror}.", fix)
    return None


@contextmanager
def plainly() -> Iterator[None]:
    """Inside this block an error that `explain` knows is raised as a CourseError, which a notebook shows without its stack."""
    try:
        yield
    except CourseError:
        raise
    except Exception as error:
        plain = explain(error)
        if plain is None:
            raise
        raise plain from error


def advice(message: str) -> tuple[str, str]:
    """What happened and what to do, from a message of the engine; ("", "") where it says nothing known."""
    for pattern, what, fix in _MEANINGS:
        if found := re.search(pattern, message, re.IGNORECASE):
            group = next((each for each in found.groups() if each), "")
            return what.format(group), fix.format(group)
    return "", ""


def _refused(message: str) -> CourseError:
    line = " ".join(message.split()).rstrip(".")
    what, fix = advice(line)
    if what:
        return CourseError(what, f"The engine says: {_short(line)}.", fix)
    return CourseError(
        f"The engine refused: {_short(line)}.", fix="Read the reason; `dockerlab doctor` examines the engine."
    )


def _ended(error: ContainerError) -> CourseError:
    text = (
        error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else str(error.stderr or "")
    )
    last = next(
        (line.strip() for line in reversed(text.splitlines()) if line.strip()), "It wrote nothing to stderr"
    )
    return CourseError(
        f"The container ended with exit code {error.exit_status}.",
        f"Its last line: {_short(last).rstrip('.')}.",
        "Mend what that line names, and run it again.",
    )


def _silent(error: Exception) -> CourseError | None:
    """The engine did not answer; None where the error is about another server, such as one in a container."""
    url = str(getattr(getattr(error, "request", None), "url", "") or "")
    if isinstance(error, requests.RequestException) and not url.startswith("http+docker:"):
        return None
    if "Timeout" in type(error).__name__:
        return CourseError(
            "The engine did not answer in time.",
            fix="Repeat when the machine is less busy; `dockerlab doctor` examines the engine.",
        )
    reason = f"{_short(' '.join(str(error).split())).rstrip('.')}."
    if isinstance(error, requests.RequestException) or "fetching server API version" in reason:
        return CourseError("The engine stopped answering.", reason, "Run `make engine`, then repeat.")
    return CourseError(
        f"docker-py refused: {reason}", fix="Mend what it names; `dockerlab doctor` examines the engine."
    )


def _short(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _place(error: BaseException) -> list[str]:
    """The line of the reader's own cell that failed: the innermost frame whose source no file holds."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "ipykernel_" in frame.filename or frame.filename.startswith("<ipython-input"):
            return [
                f"  at:  line {frame.lineno} of the cell: {linecache.getline(frame.filename, frame.lineno or 0).strip()}"
            ]
    return []


def in_notebooks(shell: Any) -> None:
    """Let this IPython show errors of docker-py that `explain` knows without their stack; others keep it. May be called again."""
    shell.set_custom_exc((DockerException, requests.RequestException), _show)


def _show(
    shell: Any, kind: type[Exception], error: Exception, trace: TracebackType, tb_offset: int | None = None
) -> None:
    plain = explain(error)
    if plain is None:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        return
    lines = [f"{kind.__name__}: {plain.what}", *plain._render_traceback_()[1:], *_place(error)]
    shell._showtraceback(kind, error, lines)
