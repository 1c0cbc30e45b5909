"""Type at a program that wants a terminal, `docker run -it` for one, and read its screen. Linux and macOS."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from dockerlab.core.errors import CourseError

PROMPT = r"[$#] $"
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def typed(command: str, lines: Sequence[str], timeout: float = 30) -> str:
    """Start `command` in a terminal, type a line at every shell prompt, and return what the screen shows in the end.

    `timeout` is in seconds, for each line; the program is ended after it. Raises CourseError where the machine has no terminals or the
    program does not come to its end.
    """
    try:
        import pexpect
    except ImportError as error:
        raise CourseError(
            "This system has no pseudo-terminals.", fix="Type the command in a terminal."
        ) from error
    screen = io.StringIO()
    child = pexpect.spawn(command, timeout=timeout, encoding="utf-8", codec_errors="replace")
    child.logfile_read = screen
    try:
        for line in lines:
            if child.expect([PROMPT, pexpect.EOF]):
                break  # it ended before it asked for this line
            child.sendline(line)
        else:
            child.expect(pexpect.EOF)
    except pexpect.TIMEOUT as error:
        raise CourseError(
            f"{command} did not end within {timeout:.0f} s.", fix="End what you type with `exit`."
        ) from error
    finally:
        child.close(force=True)
    return _CODES.sub("", screen.getvalue()).replace("\r\n", "\n").replace("\r", "").strip()
