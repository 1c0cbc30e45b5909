"""A release workflow, looked at and run on this machine: its linter, what it pins, and its `run:` steps as they stand.

The steps read everything from the environment (a good habit: what stands in `${{ }}` inside a script can be code), so they run here unchanged.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from dockerlab.core import programs
from dockerlab.core.errors import CourseError, of_extra

PINNED = re.compile(r"@[0-9a-f]{40}$")
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


class StepFailed(CourseError):
    """A step of the workflow ended with another code than 0."""


@dataclass(frozen=True)
class Step:
    """One step: a name, and either a script or an action with its version."""

    name: str
    run: str = ""
    uses: str = ""

    @property
    def pinned(self) -> bool:
        """Whether it is a script, or an action that a commit names."""
        return bool(self.run) or bool(PINNED.search(self.uses))


def steps(file: Path) -> list[Step]:
    """The steps of the workflow's jobs, in order."""
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
    return [
        Step(
            each.get("name") or each.get("uses", "").partition("@")[0],
            each.get("run", ""),
            each.get("uses", ""),
        )
        for job in jobs
        for each in job["steps"]
    ]


def findings(file: Path) -> list[str]:
    """What actionlint says about a workflow, without a network. Raises CourseError where it is not installed."""
    with of_extra("production", "jactionlint"):
        importlib.metadata.version("jactionlint")
    command = [programs.tool("jactionlint"), "--no-online", "--oneline", str(file)]
    environment = {**os.environ, "PATH": programs.search_path()}  # it looks for shellcheck there
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    return [
        re.sub(r"^\S*?(?=[^/\\]+:\d+:)", "", line)
        for line in (done.stdout + done.stderr).splitlines()
        if line.strip()
    ]


def run(step: Step, folder: Path, environment: Mapping[str, str], timeout: float = 600) -> str:
    """Run a step's script as the runner does (bash -e, pipefail) in `folder`; returns its output. Talks to whatever the script talks to.

    Raises StepFailed with its last line.
    """
    if not step.run or EXPRESSION.search(step.run):
        raise StepFailed(
            f"{step.name!r} cannot be run here.",
            "It is an action, or its script holds an expression of GitHub.",
            "Hand values to it by `env:`.",
        )
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.run]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "GITHUB_STEP_SUMMARY": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise StepFailed(
            f"The step {step.name!r} ended with exit code {done.returncode}.",
            f"Its last line: {lines[-1]}",
            "Run its lines in a terminal.",
        )
    return done.stdout


def rehearse(file: Path, folder: Path, environment: Mapping[str, str]) -> pd.DataFrame:
    """Run every script of the workflow here, in order, and say what each step is. Raises StepFailed at the first that fails."""
    rows = []
    for step in steps(file):
        said = run(step, folder, environment) if step.run else ""
        rows.append(
            (
                step.name,
                "ran here" if step.run else "an action: runs on GitHub",
                step.pinned,
                (said.strip().splitlines() or [""])[-1],
            )
        )
    return pd.DataFrame(rows, columns=["step", "here", "pinned", "last line"]).set_index("step")
