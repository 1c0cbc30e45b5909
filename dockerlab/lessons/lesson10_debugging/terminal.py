"""Type at a program that wants a terminal, `docker run -it` for one, and read its screen. Linux and macOS."""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import time
from collections.abc import Sequence

from dockerlab.core.errors import CourseError

PROMPT = re.compile(rb"[$#] $")
_CODES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")


def typed(command: str, lines: Sequence[str], timeout: float = 30) -> str:
    """Start `command` in a terminal, type a line at every shell prompt, and return what the screen shows in the end.

    `timeout` is in seconds; the program is ended after it. Raises CourseError where the machine has no terminals or the program does
    not come to its end.
    """
    try:
        import pty
    except ImportError as error:
        raise CourseError(
            "This system has no pseudo-terminals.", fix="Type the command in a terminal."
        ) from error
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        shlex.split(command), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        screen = _converse(ours, process, list(lines), time.monotonic() + timeout)
        process.wait(timeout=5)
    except subprocess.TimeoutExpired as error:
        raise CourseError(
            f"{command} did not end within {timeout:.0f} s.", fix="End what you type with `exit`."
        ) from error
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return screen.decode(errors="replace").replace("\r\n", "\n").replace("\r", "").strip()


def _converse(terminal: int, process: subprocess.Popen[bytes], lines: list[str], deadline: float) -> bytes:
    """Read until the program closes the terminal or time is up; a line is typed when a prompt stands still."""
    screen = b""
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # Linux: nobody is at the other end any more
                break
            if not piece:
                break
            screen = _CODES.sub(b"", screen + piece)
        elif process.poll() is not None:
            break
        elif lines and PROMPT.search(screen):
            os.write(terminal, f"{lines.pop(0)}\n".encode())
    return screen
