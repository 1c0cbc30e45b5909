"""A set-up: a folder with a Dockerfile and a file `options.txt`, and the container that `docker run` makes of them.

`options.txt` holds what stands between `docker run -d` and the image: one or more options a line, `#` begins a comment, and names in
braces stand for what differs from machine to machine: `-v {volume}:/results`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dockerlab.core.errors import CourseError
from dockerlab.engine.command import docker

OPTIONS = "options.txt"
# What whoever starts the set-up decides.
OURS = ("-d", "--detach", "--rm", "--name", "-l", "--label", "--cidfile", "--help")
PATIENCE = 60  # seconds


class BadOptions(CourseError):
    """A file `options.txt` that no container can be started with."""


@dataclass(frozen=True)
class Started:
    """What came of a `docker run`: its exit code (125: the engine refused) and what it said on stderr."""

    name: str
    line: str
    code: int
    message: str


def read_options(folder: Path, places: Mapping[str, str]) -> list[str]:
    """The words of the file `options.txt`, none where there is no file; `{name}` becomes `places[name]`. Raises BadOptions."""
    path = folder / OPTIONS
    if not path.is_file():
        return []
    where = f"{folder.name}/{OPTIONS}"
    try:
        words = shlex.split(path.read_text(encoding="utf-8", errors="replace"), comments=True)
    except ValueError as error:
        raise BadOptions(f"{where} cannot be read: {error}.", fix="Close every quote.") from error
    for word in words:
        if word.split("=")[0] in OURS:
            raise BadOptions(
                f"{where} holds {word}.", "Whoever starts the container decides that.", "Remove it."
            )
        if unknown := [name for name in re.findall(r"\{(\w+)\}", word) if name not in places]:
            raise BadOptions(
                f"{where} names {{{unknown[0]}}}.",
                fix=f"Known: {', '.join(f'{{{name}}}' for name in places) or 'none'}.",
            )
    return [re.sub(r"\{(\w+)\}", lambda found: places[found[1]], word) for word in words]


def start(
    image: str, name: str, options: Sequence[str], labels: Mapping[str, str], command: Sequence[str] = ()
) -> Started:
    """`docker run -d` with these options, whether the engine takes them or not. Asks the engine, through the `docker` command.

    `labels` and `name` come last, so that they hold. Raises CourseError where the command does not return.
    """
    shown = shlex.join(["docker", "run", "-d", "--name", name, *options, image, *command])
    marks = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    done = docker("run", "-d", *options, "--name", name, *marks, image, *command, timeout=PATIENCE)
    return Started(name, shown, done.returncode, done.stderr.strip())


def reason(message: str) -> str:
    """The last part of what `docker run` said, without where to read more: `port is already allocated`."""
    lines = [
        line for line in message.splitlines() if line.strip() and not line.startswith(("See '", "Run '"))
    ]
    return lines[-1].removeprefix("docker: ").removeprefix("Error response from daemon: ") if lines else ""
