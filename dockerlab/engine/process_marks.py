"""Whose process made a thing on the engine, and what it left there if it died: a killed kernel cannot tidy up after itself."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

LABEL = "dockerlab.process"
PARTS = 3  # of a place where the system counts its starts
HIDDEN = "hidden"
FOLDER = "dockerlab-"


def mark() -> str:
    """`machine.boot.processes-pid-start` of this process; the last part of the place tells a container's processes from the machine's own."""
    pid = os.getpid()
    return f"{_place()}-{pid}-{_start(pid)}"


def alive(process: str) -> bool:
    """Whether the process of this mark may still run: not where its machine has started again since, or its number has another start.

    What was made on another machine or in another container, or names no process, is not ours to judge.
    """
    place, _, rest = process.rpartition("-")[0].rpartition("-")
    here = _place().split(".")
    there = place.split(".")
    if not process or not rest.isdigit() or len(there) != len(here) or there[0] != here[0]:
        return True
    if len(here) == PARTS and there[1] != here[1]:
        return False  # its machine was started again
    if there != here:
        return True
    start = _start(int(rest))
    return start in (process.rpartition("-")[2], HIDDEN)


def folder(what: str, parent: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder whose name says which process made it: `cleanup.sweep` finds it when that was killed."""
    return tempfile.TemporaryDirectory(
        prefix=f"{FOLDER}{what}-{mark()}-", dir=parent, ignore_cleanup_errors=True
    )


def dead_folders() -> list[Path]:
    """Temporary folders of processes of this user that have died."""
    found = []
    for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        named = re.fullmatch(rf"{FOLDER}[a-z]+-(.+-\d+-\w+)-\w+", path.name)
        with suppress(OSError):
            own = not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()
            found += (
                [path]
                if named and own and path.is_dir() and not path.is_symlink() and not alive(named[1])
                else []
            )
    return found


@cache
def _place() -> str:
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{_machine()}.{boot.replace('-', '')[:12]}.{Path('/proc/self/ns/pid').stat().st_ino}"
    return platform.node().replace("-", "_").replace(".", "_") or "here"


def _machine() -> str:
    """Tells machines apart across their starts: machine-id(5), which copies of one image of a system share, with the name of the machine."""
    known = platform.node()
    for file in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        with suppress(OSError):
            known += file.read_text(encoding="ascii").strip()
            break
    return hashlib.sha256(known.encode()).hexdigest()[:8]


def _start(pid: int) -> str:
    """When a process began, as its own system counts; "" where none runs, HIDDEN where the system shows it to its own user only.

    A number that was used again has another start.
    """
    if not Path("/proc/self/stat").exists():
        done = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return "".join(part for part in done.stdout if part.isalnum())
    with suppress(OSError, IndexError):
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return (
            "" if state in "ZX" else fields[18]
        )  # a zombie waits for its parent, but it does nothing any more
    try:
        os.kill(
            pid, 0
        )  # with /proc mounted hidepid=2 only this tells that another user's process is there; asks, and sends nothing
    except PermissionError:
        return HIDDEN
    except (OSError, OverflowError):
        pass
    return ""
