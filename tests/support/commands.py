"""The `dockerlab` command as a learner runs it: a process of its own, with an exit code and what it wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("dockerlab"))


# Root may read and write everything; without these two rights it meets the permissions of files as anybody does.
AS_A_USER = (
    ()
    if os.geteuid()
    else (
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    )
)


def dockerlab(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
    before: tuple[str, ...] = (),
    checkout: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run it with these variables added to the environment; `before` is a command that runs it, such as `unshare -n`.

    `checkout` is another copy of the course, whose package is then used.
    """
    command = [sys.executable, "-m", "dockerlab.cli"] if checkout else [COMMAND]
    variables = {**os.environ, **({"PYTHONPATH": str(checkout)} if checkout else {}), **(env or {})}
    return subprocess.run(
        [*before, *command, *map(str, arguments)],
        env=variables,
        cwd=cwd or checkout,
        timeout=timeout,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def hears_ctrl_c() -> None:
    """For `preexec_fn`: where a shell runs the tests with `&`, they ignore Ctrl-C, and so would every program that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def says(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """It failed as a program should: exit code 1, a few lines for a reader, no stack, and in them these parts."""
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text and 'File "' not in text, text
    lines = done.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 9, text
    for part in parts:
        assert part.lower() in done.stderr.lower(), text
    assert lines[-1].rstrip().endswith("."), text


def sleeps(seconds: str) -> bool:
    """Whether a process `sleep SECONDS` runs on this machine."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
        except OSError:
            continue
    return False
